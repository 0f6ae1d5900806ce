"""Mappings: shapes in which events can be sent, one file per mapping; no list names the files."""

from __future__ import annotations

from eventsinks.lib.discovery import make_instances
from eventsinks.mappings.base import EventMapping

MAPPINGS: dict[str, EventMapping] = {found.key: found for found in make_instances(__name__, EventMapping)}


__all__ = ["MAPPINGS", "EventMapping", "mapping"]


def mapping(key: str) -> EventMapping:
    """Return the mapping of this key. Raises KeyError."""
    return MAPPINGS[key]
