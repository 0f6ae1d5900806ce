"""Limits: what one tenant may cost the others, at the doors and in the engine."""
