"""Replaying: sends events again, or skips deliveries that were not sent."""
