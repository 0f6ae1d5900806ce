"""What goes to a destination: all that a destination type may know of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import EventType, Summary


class Message:
    """All that a destination type may know of an event. `id` stays the same over every try.

    `mapped` says that the data is no longer as accepted: it is in a schema that its event type knows nothing of.
    `template` is how the destination wants alerts told; `mark` goes before the title, such as `[DRILL]`; `memory`
    is what the type asked to remember of the same incident (`Receipt.memory`).
    """

    def __init__(
        self,
        id: UUID,
        event_type: EventType,
        tenant_id: UUID,
        occurred_at: datetime,
        data: bytes,
        mapped: bool = False,
        template: AlertTemplate | None = None,
        mark: str = "",
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.event_type = event_type
        self.tenant_id = tenant_id
        self.occurred_at = occurred_at
        self.data = data
        self.mapped = mapped
        self.template = template
        self.mark = mark
        self.memory = memory

    @cached_property
    def document(self) -> Any:
        """The data, parsed. What must go on to the byte is `data`."""
        return orjson.loads(self.data)

    @cached_property
    def summary(self) -> Summary:
        """The event as a person hears of it."""
        told = self.event_type.summary(self.document, self.template)
        return replace(told, title=f"{self.mark} {told.title}") if self.mark else told
