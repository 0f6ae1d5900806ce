"""Replaying: send again what was sent before, or let go of what was not."""
