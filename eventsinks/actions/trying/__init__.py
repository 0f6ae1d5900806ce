"""Trying: previews and tests, while somebody waits for the result. They count nowhere."""
