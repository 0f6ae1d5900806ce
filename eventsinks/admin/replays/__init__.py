"""Replays: which ended deliveries are sent again, and how far that has come."""
