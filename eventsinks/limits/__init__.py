"""Limits: how much of the shared resources one tenant may use, at the doors and in the engine."""
