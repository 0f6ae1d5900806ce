"""Settle a batch: moves the position past the events that are accounted for, and keeps the rest for later."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from eventsinks.destinations.base import DestinationGone, SendFailure, Temporary, TooLarge
from eventsinks.models import Batch, Delivery, Position, counting
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import DeliveryState, make_id
from eventsinks.models.stream.batch import BatchState
from eventsinks.sending.hold import forget_doubts, is_sure_now, park
from eventsinks.sending.judge import JITTER
from eventsinks.streaming.blame import Faults, find_faults

LONGEST_PAUSE = 300.0  # seconds; a stream never gives up, and tries at least this often


def settle_batch(
    position: Position,
    batch: Batch,
    failures: Mapping[int, SendFailure],
    status: int | None = None,
    stored: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Record the result of one try. Return whether the stream may go on at once.

    The keys of `failures` are event ids; `stored` lists the objects that were stored of the accepted events.

    If the lease was lost, this changes nothing: the worker that holds it now sends the same batch.
    """
    failures = weigh_together(position, batch, failures)
    faults = find_faults(position, batch, failures)
    left = faults.left
    if faults.taken and position.destination.doubts:
        forget_doubts(position.destination_id)
    batch.stored = [*(batch.stored or []), *stored] or None  # of earlier tries, too
    with transaction.atomic():
        if not Position.objects.held(position).update(**count_doubts(position, faults)):
            return False
        if is_replayed(position, batch):
            take_back(position, [id for id in batch.members if id not in failures])
        write_dead_letters(position, faults.refused, DeliveryState.FAILED)
        write_dead_letters(position, faults.suspected, DeliveryState.PENDING)
        if not left:
            advance_position(position, batch, status)
            return True
        if any(isinstance(failures[id], TooLarge) for id in left) and len(left) > 1:
            split_batch(position, batch, left)
            return True
        keep_rest(batch, left, failures[left[0]], status)
    gone = next((failure for failure in failures.values() if isinstance(failure, DestinationGone)), None)
    asked = max((getattr(failures[id], "retry_after", None) or 0.0) for id in left)
    # A parked integration waits for its repair only. One that another process has locked can't be parked now.
    parked = gone and park(position.destination_id, position.destination.version, gone.reason) is not None
    Position.objects.release(position, 0.0 if parked else max(choose_pause(batch.tries), asked))
    return False


def weigh_together(
    position: Position, batch: Batch, failures: Mapping[int, SendFailure]
) -> Mapping[int, SendFailure]:
    """Return the failures to act on. Together they are one doubt, and no doubt if any event was accepted."""
    gone = {id: failure for id, failure in failures.items() if isinstance(failure, DestinationGone)}
    if not gone or any(failure.sure for failure in gone.values()):
        return failures
    some_taken = any(id not in failures for id in batch.members)
    destination = position.destination
    if not some_taken and is_sure_now(destination.id, destination.version):
        return failures
    return {**failures, **{id: Temporary(one.reason, one.response) for id, one in gone.items()}}


def count_doubts(position: Position, faults: Faults) -> dict[str, Any]:
    """Return the columns of a position after a try: how many events were accepted, and since when none was."""
    if faults.taken:
        position.refused_in_a_row = 0
        return {"sent_events": F("sent_events") + faults.taken, "refused_in_a_row": 0, "stands_since": None}
    position.refused_in_a_row += faults.refusals
    since = Coalesce("stands_since", Now()) if faults.left or faults.suspected else F("stands_since")
    return {"refused_in_a_row": F("refused_in_a_row") + faults.refusals, "stands_since": since}


def advance_position(position: Position, batch: Batch, status: int | None) -> None:
    """Close a batch whose events are all accounted for. Go on with its rest, or move past it."""
    Batch.objects.filter(id=batch.id).update(
        state=BatchState.SENT,
        members=[],
        rest=[],
        stored=batch.stored,
        tries=F("tries") + 1,
        status=status,
        reason="",
        settled_at=Now(),
    )
    if batch.rest:
        position.save_members(batch.rest, [], batch.last_place)
        return
    place, held = batch.last_place, Position.objects.held(position)
    if place > position.place:
        held.update(xid=place.xid, event_id=place.event_id, sent_at=Now())
        position.xid, position.event_id = place
    else:  # the batch was of a replay, which may have been cancelled meanwhile
        held.exclude(replay_xid=None).update(replay_xid=place.xid, replay_event_id=place.event_id)


def keep_rest(batch: Batch, left: Sequence[int], failure: SendFailure, status: int | None) -> None:
    """Keep the rest of the batch, and the reason, for the next try."""
    batch.tries += 1
    Batch.objects.filter(id=batch.id).update(
        members=list(left),
        stored=batch.stored,
        tries=batch.tries,
        status=status,
        reason=clean_text(failure.reason),
    )


def split_batch(position: Position, batch: Batch, left: Sequence[int]) -> None:
    """Open a batch with the first half of `left`; the second half follows. Neither has the accepted events."""
    half, rest = left[: len(left) // 2], left[len(left) // 2 :]
    Batch.objects.filter(id=batch.id).update(
        state=BatchState.SPLIT,
        members=[],
        rest=[],
        stored=batch.stored,
        settled_at=Now(),
        reason="too large: sent in halves",
    )
    position.save_members(half, [*rest, *batch.rest], batch.last_place)


def write_dead_letters(position: Position, events: Mapping[int, SendFailure], state: DeliveryState) -> None:
    """Make deliveries of events that have left the stream, so that they are visible and can be sent alone.

    A failed one can never be sent; a pending one is tried again, alone.
    """
    if not events:
        return
    at, ended = read_database_clock(), state == DeliveryState.FAILED
    pause = timedelta(seconds=settings.EVENTSINKS_RETRY_SCHEDULE[0])
    rows = [
        Delivery(
            id=make_id(at),
            event_id=event_id,
            destination_id=position.destination_id,
            state=state,
            tries=1,
            due_at=Now() + (timedelta(0) if ended else pause),
            status=failure.response.status if failure.response else None,
            reason=clean_text(failure.reason),
            settled_at=Now() if ended else None,
        )
        for event_id, failure in events.items()
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    made = Delivery.objects.filter(id__in=[row.id for row in rows]).values_list("destination_id", "id", "state")
    counting.add(counting.tally_new((position.destination.tenant_id, *one) for one in made))


def is_replayed(position: Position, batch: Batch) -> bool:
    """Return whether a batch is of a replay: the stream has passed it before."""
    return batch.last_place <= position.place


def take_back(position: Position, taken: Sequence[int]) -> None:
    """Move from failed or pending to delivered: the replay has delivered events that had left the stream."""
    Delivery.objects.filter(destination_id=position.destination_id, event_id__in=taken).arrive()


def choose_pause(tries: int) -> float:
    """Return the seconds until the next try: 1, 2, 4, … up to LONGEST_PAUSE, with jitter."""
    return min(2.0 ** min(tries - 1, 20), LONGEST_PAUSE) * (1 + random.random() * JITTER)
