"""What goes to a destination: all that a destination type may know of an event."""

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
    """All that a destination type may know of an event. `id` stays the same over every try.

    `mapping` is the shape of the data; in any but `as_accepted` its event type knows nothing of it.
    `template` is how the destination wants alerts told; `mark` goes before the title, such as `[DRILL]`; `memory`
    is what the type asked to remember of the same incident (`Receipt.memory`). `replayed`: somebody asked for it
    to be sent again.
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
        """Whether the data is no longer as accepted."""
        return self.mapping != "as_accepted"

    @property
    def document(self) -> Any:
        """The data, parsed. What must go on to the byte is `data`."""
        return self.reading.document

    @cached_property
    def summary(self) -> Summary:
        """The event as a person hears of it."""
        return self.reading.summary(self.template, self.mark)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` makes of the summary: once for all who are told of this event in the same way."""
        return self.reading.once((name, self.template, self.mark), make)
