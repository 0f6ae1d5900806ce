"""Progress: how far an integration has come in its tenant's event log, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from eventsinks.models import Batch, Delivery, Destination, Position
from eventsinks.models.delivery import DeliveryState, find_open_deliveries
from eventsinks.models.destination import DestinationState
from eventsinks.models.stream import count_backlog, find_newest_until

COUNTED = 10_000  # events; more are not counted


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an integration has come.

    `event_id` and `received_at` are of the newest event that is accounted for, None before the first. `backlog`
    counts the waiting events among the next 100,000 of the log; `backlog_capped` means that there are more.
    `tries` are the tries of the open batch. `replay` is (the event it has reached, its last event). The stream has
    stopped since `stands_since`, None while it goes on; `reason` says why. `set_aside` counts dead letters, which
    can be replayed. `tried_apart` counts events that were refused while others were accepted, and are tried alone.
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
    stands_since: datetime | None
    set_aside: int
    tried_apart: int


def measure_progress(destination: Destination) -> Progress:
    """Return how far an integration has come."""
    position = Position.objects.get(destination=destination)
    event_id, received_at = find_newest_until(destination.tenant_id, position.place) or (None, None)
    waiting, capped = count_backlog(destination.tenant_id, destination.event_types, position.place)
    batch = position.open_batch()
    return Progress(
        event_id,
        received_at,
        waiting,
        capped,
        find_reason(destination, batch) if batch or destination.state_reason else "",
        batch.tries if batch else 0,
        find_next_try(destination, position, batch),
        position.sent_events,
        position.sent_at,
        (position.replay.event_id, position.until.event_id) if position.replay else None,
        find_standing_since(destination, position),
        *count_apart(destination),
    )


class StreamStanding(NamedTuple):
    """Since when an integration accepts nothing (None: it goes on), why, and how many events were given up."""

    stands_since: datetime | None
    stands_reason: str
    set_aside: int


def explain_standing(destination: Destination) -> StreamStanding:
    """Return whether an integration has stopped, and why."""
    position = Position.objects.get(destination=destination)
    since = find_standing_since(destination, position)
    reason = find_reason(destination, position.open_batch()) if since else ""
    return StreamStanding(since, reason, count_apart(destination)[0])


def find_reason(destination: Destination, batch: Batch | None) -> str:
    """Return the last error: of the destination, of its batch, or of the events that are tried alone."""
    if destination.state_reason or (batch and batch.reason):
        return destination.state_reason or (batch.reason if batch else "")
    return find_open_deliveries(destination.id).order_by("-id").values_list("reason", flat=True).first() or ""


def find_standing_since(destination: Destination, position: Position) -> datetime | None:
    """Return since when nothing was accepted or sent. Return None while the stream goes on."""
    if destination.state != DestinationState.ACTIVE:
        return destination.state_since
    return position.stands_since


def count_apart(destination: Destination) -> tuple[int, int]:
    """Return how many events were given up, and how many are tried alone; each at most COUNTED."""
    its = Delivery.objects.filter(destination_id=destination.id)
    failed = its.filter(state=DeliveryState.FAILED)[:COUNTED].count()
    return failed, find_open_deliveries(destination.id)[:COUNTED].count()


def find_next_try(destination: Destination, position: Position, batch: Batch | None) -> datetime | None:
    """Return when a failed batch is tried again. Return None if no try is planned, or one is in flight."""
    if destination.state != DestinationState.ACTIVE or position.lease or batch is None or not batch.tries:
        return None
    return max(position.due_at, destination.held_until or position.due_at)
