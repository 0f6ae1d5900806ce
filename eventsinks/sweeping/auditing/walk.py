"""Walk: compares the counts with the rows, slot by slot, within a limit of time, and remembers where it is.

Each table is walked twice: `fresh` passes every slot once, as soon as it has ended; `round` goes over all slots,
again and again. A walk compares in one statement, so nothing that happens meanwhile disturbs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from django.db import transaction

from eventsinks.models import AuditMark
from eventsinks.models.counting import GRAIN, STRETCH
from eventsinks.models.database import sql
from eventsinks.models.database.clock import read_database_clock
from eventsinks.sweeping.auditing import deliveries, events

SECONDS = 0.03  # for the rounds of one minute, together
FRESH_SLOTS = 3  # of each table, at most, in one minute
MARGIN = 60  # seconds after the end of a slot


class Walk(NamedTuple):
    """How one table is walked."""

    name: str
    check: Callable[[int], int]  # compares a slot, and returns how many rows are missing
    find_next: Callable[[int], int | None]  # returns the next slot with rows or counts, from a slot on
    size: int  # of a slot
    find_end: Callable[[], int]  # returns the first slot that has not ended


def find_end_of_time() -> int:
    """Return the first slot of ten minutes that has not ended long enough."""
    return (int(read_database_clock().timestamp()) - MARGIN) // GRAIN * GRAIN


WALKS = (
    Walk("deliveries", deliveries.check_slot, deliveries.find_next, GRAIN, find_end_of_time),
    Walk("events", events.check_stretch, events.find_next, STRETCH, events.find_end),
)


def audit(seconds: float | None = None) -> int:
    """Go on with every walk, for about `seconds`, by default SECONDS. Return how many rows are found missing."""
    seconds, missing = SECONDS if seconds is None else seconds, 0
    for walk in WALKS:
        missing += walk_fresh(walk)
    until = time.monotonic() + seconds
    turns = list(WALKS)
    while turns:
        for walk in tuple(turns):
            found = take_step(f"{walk.name}:round", walk, None)
            missing += found or 0
            if found is None:
                turns.remove(walk)
        if time.monotonic() >= until:
            break
    return missing


def audit_all() -> int:
    """Walk over everything once. Return how many rows turned out to be missing."""
    AuditMark.objects.filter(name__endswith=":round").delete()
    return audit(float("inf"))


def walk_fresh(walk: Walk) -> int:
    """Compare the slots that have ended since the last time."""
    end, missing = walk.find_end(), 0
    AuditMark.objects.get_or_create(name=f"{walk.name}:fresh", defaults={"place": end})
    for _ in range(FRESH_SLOTS):
        found = take_step(f"{walk.name}:fresh", walk, end)
        if found is None:
            break
        missing += found
    return missing


def take_step(name: str, walk: Walk, end: int | None) -> int | None:
    """Compare one slot, before `end` if given, and move the mark. Return how many rows are missing.

    Return None after the last slot; a round then begins again. Another process that takes this step is left alone.
    """
    AuditMark.objects.get_or_create(name=name, defaults={"place": 0})
    with transaction.atomic():
        mark = AuditMark.objects.select_for_update(skip_locked=sql.is_postgresql()).filter(name=name).first()
        if mark is None:
            return None
        slot = walk.find_next(mark.place)
        is_over = slot is None or (end is not None and slot >= end)
        missing = None if is_over or slot is None else walk.check(slot)
        mark.place = (end or 0) if is_over or slot is None else slot + walk.size
        mark.save(update_fields=["place"])
    return missing
