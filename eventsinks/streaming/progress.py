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
    """`event_id` and `received_at` are of the newest event that is accounted for, None before the first.

    `backlog` counts what waits among the next 100,000 events of the log; `backlog_capped`: there are more.
    `tries` are those of the batch that is under way; `replay` is (the event it has come to, the last one of it).
    It stands since `stands_since`, None while it goes on; `reason` says why. `set_aside` events were given up, and
    can be replayed; `tried_apart` were refused among others that were taken, and are tried on their own.
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
    """Return how far it has come."""
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
    """Since when nothing was taken by an integration, None while it goes on; why; and what was given up."""

    stands_since: datetime | None
    stands_reason: str
    set_aside: int


def explain_standing(destination: Destination) -> StreamStanding:
    """Return whether an integration stands, and why."""
    position = Position.objects.get(destination=destination)
    since = find_standing_since(destination, position)
    reason = find_reason(destination, position.open_batch()) if since else ""
    return StreamStanding(since, reason, count_apart(destination)[0])


def find_reason(destination: Destination, batch: Batch | None) -> str:
    """Return the last thing that went wrong: of the destination, of its batch, or of what is tried on its own."""
    if destination.state_reason or (batch and batch.reason):
        return destination.state_reason or (batch.reason if batch else "")
    return find_open_deliveries(destination.id).order_by("-id").values_list("reason", flat=True).first() or ""


def find_standing_since(destination: Destination, position: Position) -> datetime | None:
    """Return since when nothing was taken, or nothing is sent; None while it goes on."""
    if destination.state != DestinationState.ACTIVE:
        return destination.state_since
    return position.stands_since


def count_apart(destination: Destination) -> tuple[int, int]:
    """Return how many events were given up, and how many are tried on their own; each at most COUNTED."""
    its = Delivery.objects.filter(destination_id=destination.id)
    failed = its.filter(state=DeliveryState.FAILED)[:COUNTED].count()
    return failed, find_open_deliveries(destination.id)[:COUNTED].count()


def find_next_try(destination: Destination, position: Position, batch: Batch | None) -> datetime | None:
    """Return when a batch that was not taken is tried again; None where nothing is tried, or it is being sent."""
    if destination.state != DestinationState.ACTIVE or position.lease or batch is None or not batch.tries:
        return None
    return max(position.due_at, destination.held_until or position.due_at)
