"""Sending: the dispatcher of event sinks. It claims, sends all at once, judges and settles."""
