"""Expressions over events in CEL: filters and ordering keys, read, charged and compiled."""
