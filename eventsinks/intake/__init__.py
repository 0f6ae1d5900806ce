"""Intake: accepts events, chooses their sinks, holds some back, puts deliveries in line, and nudges a worker."""
