"""As accepted: the event goes on byte for byte."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from eventsinks.event_types import EventType
from eventsinks.mappings.base import Document, EventMapping


class AsAccepted(EventMapping):
    """No mapping."""

    key: ClassVar[str] = "as_accepted"
    label: ClassVar[str] = "As accepted"

    def mapped(self, event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
        """Return the document."""
        return dict(document)

    def written(self, event_type: EventType, data: bytes, occurred_at: datetime) -> bytes:
        """Return the data."""
        return data
