"""Event types: what can happen, one file per type. `event_type(key)` returns a type; no list names the files."""

from __future__ import annotations

from eventsinks.event_types.base import EventType
from eventsinks.lib.discovery import make_instances

EVENT_TYPES: dict[str, EventType] = {found.key: found for found in make_instances(__name__, EventType)}


__all__ = ["EVENT_TYPES", "EventType", "event_type"]


def event_type(key: str) -> EventType:
    """Return the event type of this key. Raises KeyError."""
    return EVENT_TYPES[key]
