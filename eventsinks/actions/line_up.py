"""Line up: which deliveries of a sink are sent one after another, as its ordering says.

An ordering key is a hash of what they have in common: the incident, the sink, or the value of an expression.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from eventsinks.actions.nudge import nudge
from eventsinks.event_types import EventType
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.asked import Asked
from eventsinks.lib.event_key import key_of
from eventsinks.models import Delivery, Destination, Event
from eventsinks.models.delivery import BEHIND, busy_lines, call_next, lines_from, put_in_order

AT_ONCE = 1000  # lines that one sweep looks at
FIRST = (0, UUID(int=0))

_looked_at = FIRST  # the line at which this process's next look begins


@dataclass(frozen=True, slots=True)
class Ordering:
    """What a sink is sent in order: its mode, or the expression in CEL that it has instead of one."""

    mode: str
    expression: str = ""
    template: AlertTemplate | None = None

    @property
    def needs_document(self) -> bool:
        """Whether an event must be read to know its key, even where its incident is known."""
        return bool(self.expression) or (self.mode == "incident" and marks(self.template))


def marks(template: AlertTemplate | None) -> bool:
    """Whether a template tells incidents of a rule apart."""
    return template is not None and any(info.use_for_dedup for info in template.info)


def key_in(
    ordering: Ordering,
    event_type: EventType,
    key: str,
    document: Mapping[str, Any],
    asked: Asked | None = None,
) -> UUID | None:
    """Return the ordering key of an event, whose id is `key`, at a sink; None where it waits for no other.

    `asked` is what expressions see of the document, where several sinks share what that costs.
    """
    if ordering.expression:
        value = key_of(ordering.expression).of(asked or event_type.told_to_filters(document))
        return hashed("key", value) if value else None
    if ordering.mode != "incident":
        return key_without_reading(ordering, "")
    incident = event_type.dedup_key(document, ordering.template)
    return key_without_reading(ordering, "" if incident == key else incident)


def key_without_reading(ordering: Ordering, incident: str) -> UUID | None:
    """Return the same of an event that tells of `incident`, "" for one that stands alone, at a sink in a mode."""
    if ordering.mode == "event_sink":
        return hashed("event_sink", "")
    return hashed("incident", incident) if ordering.mode == "incident" and incident else None


def hashed(mode: str, text: str) -> UUID:
    """Return what stands for a text in the table."""
    return UUID(bytes=hashlib.blake2b(f"{mode}:{text}".encode("utf-8", "replace"), digest_size=16).digest())


def stand_behind(rows: Sequence[Delivery]) -> None:
    """Give new deliveries of one sink, of events accepted before, their places in line: behind, until called."""
    sink = Destination.objects.filter(id__in={row.destination_id for row in rows}).first()
    if sink is None:
        return
    ordering = Ordering(sink.ordering, sink.ordering_key, sink.template)
    events = Event.objects.in_bulk([row.event_id for row in rows])
    for row in rows:
        event = events[row.event_id]
        row.ordering_key = key_in(ordering, event.event_type, event.key, event.document)
        if row.ordering_key is not None:
            row.due_at = BEHIND


def stand_in_line(rows: Sequence[Delivery]) -> None:
    """Put those of new deliveries, in the order of their events, that are not the first of a line behind.

    To be called inside the transaction that writes them, with their lines locked. Once that is committed they are
    looked at again: the one before them may have ended meanwhile, and called nobody.
    """
    lines = [(row.destination_id, row.ordering_key) for row in rows if row.ordering_key is not None]
    if not lines:
        return
    taken = busy_lines(set(lines))
    waiting = set()
    for row in rows:
        if row.ordering_key is None:
            continue
        line = (row.destination_id, row.ordering_key)
        if line in taken:
            row.due_at = BEHIND
            waiting.add(line)
        taken.add(line)
    if waiting:
        transaction.on_commit(lambda: call_next(waiting), robust=True)


def tend() -> int:
    """Call whom nobody called: a process was killed, or a first was skipped. Return how many lines were looked at.

    A sweep looks at the next AT_ONCE lines in which somebody stands, then begins anew.
    """
    global _looked_at
    found = lines_from(_looked_at, AT_ONCE)
    if put_in_order(found):
        nudge()
    _looked_at = found[-1] if len(found) == AT_ONCE else FIRST
    return len(found)
