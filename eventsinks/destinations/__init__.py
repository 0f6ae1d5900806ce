"""Destination types: one file or folder each. A type is found because its file is here."""

from __future__ import annotations

from eventsinks.destinations.base import AnyDestinationType, DestinationType
from eventsinks.lib.discovery import find_classes

DESTINATION_TYPES: dict[str, type[AnyDestinationType]] = {
    found.key: found for found in find_classes(__name__, DestinationType)
}


def destination_type(key: str) -> type[AnyDestinationType]:
    """Return the destination type of this key. Raises KeyError."""
    return DESTINATION_TYPES[key]
