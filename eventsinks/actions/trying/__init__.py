"""Trying out: what somebody waits for while it is made or sent. Counts nowhere."""
