"""Streaming: sends each integration the events of its tenant's log, in order, batch by batch."""
