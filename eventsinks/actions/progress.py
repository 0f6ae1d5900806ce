"""Progress: how far an integration has come in its tenant's event log, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventsinks.models import Batch, Destination, Position
from eventsinks.models.destination import DestinationState
from eventsinks.models.stream import backlog, newest_until


@dataclass(frozen=True, slots=True)
class Progress:
    """`event_id` and `received_at` are of the newest event that is accounted for, None before the first.

    `backlog` counts what waits among the next 100,000 events of the log; `backlog_capped`: there are more.
    `tries` are those of the batch that is under way; `replay` is (the event it has come to, the last one of it).
    """

    event_id: int | None
    received_at: datetime | None
    backlog: int
    backlog_capped: bool
    reason: str
    tries: int
    next_try_at: datetime | None
    sent_events: int
    sent_at: datetime | None
    replay: tuple[int, int] | None


def progress(destination: Destination) -> Progress:
    """Return how far it has come."""
    position = Position.objects.get(destination=destination)
    event_id, received_at = newest_until(destination.tenant_id, position.place) or (None, None)
    waiting, capped = backlog(destination.tenant_id, destination.event_types, position.place)
    batch = position.open_batch()
    return Progress(
        event_id,
        received_at,
        waiting,
        capped,
        destination.state_reason or (batch.reason if batch else ""),
        batch.tries if batch else 0,
        next_try_at(destination, position, batch),
        position.sent_events,
        position.sent_at,
        (position.replay.event_id, position.until.event_id) if position.replay else None,
    )


def next_try_at(destination: Destination, position: Position, batch: Batch | None) -> datetime | None:
    """Return when a batch that was not taken is tried again; None where nothing is tried, or it is being sent."""
    if destination.state != DestinationState.ACTIVE or position.lease or batch is None or not batch.tries:
        return None
    return max(position.due_at, destination.held_until or position.due_at)
