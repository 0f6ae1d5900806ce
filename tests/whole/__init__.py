"""Promises that hold over several rooms."""
