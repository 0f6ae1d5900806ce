"""Line up: decides which deliveries of a sink are sent one after another, by the sink's ordering.

An ordering key is a hash of what such deliveries share: the incident, the sink, or the value of an expression.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from eventsinks.event_types import EventType
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.intake.nudge import nudge
from eventsinks.lib.filters.asked import Asked
from eventsinks.lib.filters.event_key import get_key
from eventsinks.models import Delivery, Destination, Event
from eventsinks.models.delivery import (
    BEHIND,
    NewDelivery,
    Phase,
    call_next,
    find_busy_lines,
    put_in_order,
    read_lines_from,
)

AT_ONCE = 1000  # lines that one sweep checks
FIRST = (0, UUID(int=0))

_looked_at = FIRST  # this process's next sweep begins after this line


@dataclass(frozen=True, slots=True)
class Ordering:
    """How a sink orders its deliveries: a mode, or an expression in CEL instead."""

    mode: str
    expression: str = ""

    def key(self, incident: str, asked: Callable[[], Asked]) -> UUID | None:
        """Return the ordering key of an event of `incident`, which is "" if the event belongs to none.

        Return None if the event waits for no other. `asked` is the event as expressions see it.
        """
        if self.expression:
            value = get_key(self.expression).of(asked())
            return hash_text("key", value) if value else None
        if self.mode == "event_sink":
            return hash_text("event_sink", "")
        return hash_text("incident", incident) if self.mode == "incident" and incident else None


def find_incident(
    event_type: EventType, key: str, document: Mapping[str, Any], template: AlertTemplate | None = None
) -> str:
    """Return the incident at a sink of the event with the id `key`; "" if it belongs to none."""
    incident = event_type.dedup_key(document, template)
    return "" if incident == key else incident


def make_incident_key(tenant_id: UUID, incident: str) -> UUID:
    """Return the hash of a tenant's incident, as the table of deliveries stores it."""
    return hash_text("incident of", f"{tenant_id}:{incident}")


def read_phase(document: Mapping[str, Any]) -> Phase:
    """Return the phase of its incident that an event reports."""
    return Phase[str(document.get("status", "firing")).upper()]


def hash_text(mode: str, text: str) -> UUID:
    """Return the hash of a text, as the table stores it."""
    return UUID(bytes=hashlib.blake2b(f"{mode}:{text}".encode("utf-8", "replace"), digest_size=16).digest())


def stand_behind(rows: Sequence[Delivery]) -> None:
    """Put new deliveries of older events into the lines of their sink: behind, until they are called.

    All of them belong to one sink.
    """
    sink = Destination.objects.filter(id__in={row.destination_id for row in rows}).first()
    if sink is None:
        return
    ordering = Ordering(sink.ordering, sink.ordering_key)
    events = Event.objects.in_bulk([row.event_id for row in rows])
    for row in rows:
        event = events[row.event_id]
        type_, document = event.event_type, event.document
        incident = find_incident(type_, event.key, document, sink.template)
        if incident:
            row.incident, row.phase = make_incident_key(sink.tenant_id, incident), read_phase(document)
        row.ordering_key = ordering.key(incident, lambda: Asked(type_.told_to_filters(document)))  # noqa: B023
        if row.ordering_key is not None:
            row.due_at = BEHIND


def stand_in_line(rows: Sequence[NewDelivery]) -> None:
    """Put new deliveries behind if their line is busy. `rows` are in the order of their events.

    Call this inside the transaction that writes them, with their lines locked. After the commit it checks the
    lines again: the delivery before them may have ended meanwhile, and called nobody.
    """
    lines = [(row.destination_id, row.ordering_key) for row in rows if row.ordering_key is not None]
    if not lines:
        return
    taken = find_busy_lines(set(lines))
    waiting = set()
    for row in rows:
        if row.ordering_key is None:
            continue
        line = (row.destination_id, row.ordering_key)
        if line in taken:
            row.is_behind = True
            waiting.add(line)
        taken.add(line)
    if waiting:
        transaction.on_commit(lambda: call_next(waiting), robust=True)


def call_uncalled() -> int:
    """Call deliveries that nobody called (a process died, or a first was skipped). Return how many lines it saw.

    Each sweep checks the next AT_ONCE lines with open deliveries, and begins again after the last line.
    """
    global _looked_at
    found = read_lines_from(_looked_at, AT_ONCE)
    if put_in_order(found):
        nudge()
    _looked_at = found[-1] if len(found) == AT_ONCE else FIRST
    return len(found)
