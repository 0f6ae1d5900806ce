"""Intake: take events in. Accept, route, hold back and line up what sinks are owed, then nudge."""
