"""Sending: the dispatcher of event sinks. Claim, send all at once, judge, settle; nothing is open meanwhile."""
