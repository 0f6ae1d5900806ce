"""The message to a destination: all that a destination type may know of an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import EventType, Summary
from eventsinks.event_types.reading import Reading

Made = TypeVar("Made")


class Message:
    """All that a destination type may know of an event. `id` is the same in every try.

    `mapping` is the shape of the data. The event type can read only `as_accepted`. `template` is the destination's
    alert template. `mark` is a text before the title, such as `[DRILL]`. `memory` is the `Receipt.memory` of the
    same incident. `replayed` means that somebody asked to send it again.
    """

    def __init__(
        self,
        id: UUID,
        event_type: EventType,
        tenant_id: UUID,
        occurred_at: datetime,
        data: bytes,
        mapping: str = "as_accepted",
        template: AlertTemplate | None = None,
        mark: str = "",
        memory: Mapping[str, Any] | None = None,
        reading: Reading | None = None,
        replayed: bool = False,
    ) -> None:
        self.id = id
        self.event_type = event_type
        self.tenant_id = tenant_id
        self.occurred_at = occurred_at
        self.data = data
        self.mapping = mapping
        self.template = template
        self.mark = mark
        self.memory = memory
        self.replayed = replayed
        self.reading = reading or Reading(event_type, data)

    @property
    def mapped(self) -> bool:
        """Whether the data has another shape than the accepted event."""
        return self.mapping != "as_accepted"

    @property
    def document(self) -> Any:
        """The parsed data. To send the exact bytes, use `data`."""
        return self.reading.document

    @cached_property
    def summary(self) -> Summary:
        """The event as a person reads it."""
        return self.reading.summary(self.template, self.mark)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` makes of the summary. It runs once for all destinations with the same template."""
        return self.reading.once((name, self.template, self.mark), make)
