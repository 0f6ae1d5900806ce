"""Auditing: compares the counts with the rows, slot by slot, and finds what is missing."""
