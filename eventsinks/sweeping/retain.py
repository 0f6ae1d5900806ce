"""Retain: deletes what has been kept long enough, in bounded batches, one batch of each tenant in turn.

A walk goes through a tenant's events of one type, or through the deliveries of one destination, oldest first. What
is still owed, not yet streamed, or about to be streamed again stays. A batch is one transaction, and a walk may
stop after any of them: the next sweep goes on where the walk has come to.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models.functions import Now

from eventsinks import telemetry
from eventsinks.actions.kept import find_oldest_event
from eventsinks.event_types import EVENT_TYPES
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Batch, Delivery, Destination, Event, RetentionWalk, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import make_least_id
from eventsinks.models.removal import OPEN, Removed, remove_attempts, remove_events, remove_some
from eventsinks.models.retention import ATTEMPTS, UNSTREAMED, get_days
from eventsinks.models.stream.batch import BatchState
from eventsinks.sweeping.streamed import find_needed, give_up_unstreamed

log = logging.getLogger(__name__)

AT_ONCE = 1_000  # events of one batch; fewer if they have many deliveries
DELIVERIES = 2_000  # of the events of one batch, about
WALKS = 500  # of one sweep
LEASE = timedelta(minutes=1)  # of one batch; if its process dies, another goes on then
SOON, AGAIN, LATEST = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OLDEST = 10  # walks of one type that are looked at for the metric
LOOK_FOR_NEW = 60.0  # seconds between two looks for tenants and destinations without walks

_removed: Removed = Counter()
_looked_at = float("-inf")


class OldEvent(NamedTuple):
    """An event that a walk has come to."""

    id: int
    xid: int
    received_at: datetime
    owed: int


def retain() -> int:
    """Do the walks that are due. Return how many rows were deleted."""
    make_missing_walks()
    _removed.clear()
    due = RetentionWalk.objects.filter(due_at__lte=Now(), tenant__deleted_at=None).order_by("due_at")
    walks = [(walk.tenant_id, walk) for walk in due.select_related("tenant")[:WALKS]]
    do_in_turns(walks, do_step)
    note_removed(_removed, "their time was over")
    return sum(_removed.values())


def note_removed(removed: Removed, why: str) -> None:
    """Count deleted rows, and log them."""
    if removed:
        telemetry.count_removed(removed)
        told = ", ".join(f"{count:,} {table}" for table, count in sorted(removed.items()))
        log.info("deleted, because %s: %s", why, told)


def make_missing_walks() -> None:
    """Make the walks of new tenants and destinations."""
    global _looked_at
    if time.monotonic() < _looked_at + LOOK_FOR_NEW:
        return
    _looked_at = time.monotonic()
    for key in EVENT_TYPES:
        known = RetentionWalk.objects.filter(name=key).values("tenant_id")
        new = Tenant.objects.exclude(id__in=known).order_by().values_list("id", flat=True)
        RetentionWalk.objects.bulk_create(
            [RetentionWalk(tenant_id=id, name=key) for id in new[:10_000]], ignore_conflicts=True
        )
    walked = RetentionWalk.objects.filter(name=ATTEMPTS).values("destination_id")
    rows = Destination.objects.exclude(id__in=walked).order_by().values_list("tenant_id", "id")[:10_000]
    RetentionWalk.objects.bulk_create(
        [RetentionWalk(tenant_id=tenant, name=ATTEMPTS, destination_id=id) for tenant, id in rows],
        ignore_conflicts=True,
    )


def do_step(walk: RetentionWalk) -> tuple[int, bool]:
    """Do the next batch of a walk. Return how many rows were deleted, and whether the walk goes on.

    Of two sweeps at the same time, one finds the walk moved or leased.
    """
    here = RetentionWalk.objects.filter(id=walk.id, event=walk.event, delivery=walk.delivery)
    if not here.filter(due_at__lte=Now()).update(due_at=Now() + LEASE):
        return 0, False
    now = read_database_clock()
    removed, pause = (retain_attempts if walk.name == ATTEMPTS else retain_events)(walk, now)
    columns = {name: getattr(walk, name) for name in ("first_event", "event", "kept_event", "delivery", "batch")}
    here.update(due_at=now + (pause or timedelta(0)), **columns)
    _removed.update(removed)
    return sum(removed.values()), pause is None


def retain_events(walk: RetentionWalk, now: datetime) -> tuple[Removed, timedelta | None]:
    """Delete a walk's next events, and move it. Return what was deleted, and a pause if the walk has ended."""
    found = read_next(walk)
    until = now - get_days(walk.tenant, walk.name)
    old = cut_batch([event for event in found if event.received_at < until])
    needed = find_needed(walk.tenant, walk.name)
    give_up_unstreamed(walk.tenant, needed, old, now - get_days(walk.tenant, UNSTREAMED))
    may = [event.id for event in old if not any(one.needs(event.xid, event.id) for one in needed)]
    removed, gone = remove_events(may)
    left = set(gone)
    kept = [event.id for event in old if event.id not in left]
    if kept and walk.kept_event is None:
        walk.kept_event = kept[0] - 1
    walk.event = old[-1].id if old else walk.event
    ahead = bool(old) and any(one.is_before(old[-1].xid, old[-1].id) for one in needed)  # and before what follows
    if (
        not ahead
        and old
        and (len(old) == AT_ONCE or (len(old) < len(found) and found[len(old)].received_at < until))
    ):
        return removed, None
    return removed, end_walk(walk, now, found[len(old)] if len(old) < len(found) else None)


def read_next(walk: RetentionWalk) -> list[OldEvent]:
    """Return the next events of a walk, oldest first."""
    found = Event.objects.filter(tenant_id=walk.tenant_id, type=walk.name, id__gt=walk.event).order_by("id")
    return [OldEvent(*row) for row in found.values_list(*OldEvent._fields)[:AT_ONCE]]


def cut_batch(events: Sequence[OldEvent]) -> Sequence[OldEvent]:
    """Return the first of these events, with about as many deliveries as one transaction should delete."""
    total = 0
    for number, event in enumerate(events, 1):
        total += event.owed
        if total >= DELIVERIES:
            return events[:number]
    return events


def end_walk(walk: RetentionWalk, now: datetime, next: OldEvent | None) -> timedelta:
    """Let the next walk begin before the first event that this one kept. Return how long it can wait."""
    had_to_stay = walk.kept_event is not None
    before_next = walk.event if next is None else next.id - 1
    walk.first_event = before_next if walk.kept_event is None else walk.kept_event
    walk.event, walk.kept_event = walk.first_event, None
    if had_to_stay:
        return AGAIN
    if next is None:
        return LATEST
    return limit_pause(next.received_at + get_days(walk.tenant, walk.name) - now)


def limit_pause(pause: timedelta) -> timedelta:
    """Return a pause that is neither too short nor too long: the days that a tenant keeps may change."""
    return min(max(pause, SOON), LATEST)


def retain_attempts(walk: RetentionWalk, now: datetime) -> tuple[Removed, timedelta | None]:
    """Delete the attempts of a destination's next deliveries, and its sent batches; move the walk.

    Attempts of a delivery that is open, or that is tried once more later, stay until their event goes.
    """
    days = get_days(walk.tenant, ATTEMPTS)
    its = Delivery.objects.filter(destination_id=walk.destination_id, id__gt=walk.delivery).order_by("id")
    rows = list(its.filter(id__lt=make_least_id(now - days)).values_list("id", "state")[:DELIVERIES])
    removed: Removed = Counter(attempt=remove_attempts([id for id, state in rows if state not in OPEN]))
    walk.delivery = rows[-1][0] if rows else walk.delivery
    removed["batch"] = remove_batches(walk, now - days)
    if len(rows) == DELIVERIES or removed["batch"] == AT_ONCE:
        return +removed, None
    next = its.filter(id__gt=walk.delivery).values_list("id", flat=True).first()
    return +removed, limit_pause(tell_moment(next) + days - now) if next else LATEST


def tell_moment(id: uuid.UUID) -> datetime:
    """Return when the delivery with this id was made."""
    return Delivery(id=id).created_at


def remove_batches(walk: RetentionWalk, until: datetime) -> int:
    """Delete the next settled batches of an integration, up to the first that must stay. Return how many."""
    listed = Destination.objects.filter(id=walk.destination_id).values_list("type", "position__manifest_number")
    type_, manifest_number = listed.first() or ("", None)
    if manifest_number is None:
        return 0
    its = Batch.objects.filter(destination_id=walk.destination_id, number__gt=walk.batch).order_by("number")
    if Destination(type=type_).kind.keeps_manifests:
        its = its.filter(number__lte=manifest_number)
    numbers: list[int] = []
    for number, state, settled_at in its.values_list("number", "state", "settled_at")[:AT_ONCE]:
        if state == BatchState.OPEN or settled_at is None or settled_at >= until:
            break
        numbers.append(number)
    if numbers:
        walk.batch = numbers[-1]
    return remove_some(Batch.objects.filter(destination_id=walk.destination_id, number__in=numbers), AT_ONCE)


def measure_oldest() -> dict[str, float]:
    """Return by event type for how many seconds the oldest event has been kept.

    Ids rise with the time, so the walks that begin first have the oldest events.
    """
    now, found = read_database_clock(), dict[str, float]()
    for key in EVENT_TYPES:
        walks = RetentionWalk.objects.filter(name=key, first_event__gt=0).order_by("first_event")[:OLDEST]
        for walk in walks:
            if (at := find_oldest_event(walk)) is not None:
                found[key] = max(found.get(key, 0.0), (now - at).total_seconds())
    return found
