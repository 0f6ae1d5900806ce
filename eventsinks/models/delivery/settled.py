"""Settled: what settlements count: ended deliveries, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from eventsinks.models.counting import ENDED, Tally, find_slot
from eventsinks.models.counting.times import BOUNDS, DONES, FIRSTS

if TYPE_CHECKING:
    from eventsinks.models.delivery.settle import Settlement


def tally_settled(settlements: Iterable[Settlement]) -> Tally:
    """Count settlements that moved their deliveries, and the time that they took."""
    tenants: dict[int, UUID] = {}
    alike: Counter[tuple[int, str, int, int, str, str]] = Counter()  # hashing a tenant's id for each costs more
    for one in settlements:
        claimed = one.claimed
        tenants[claimed.destination_id] = claimed.tenant_id
        slots = find_slot(claimed.id), find_slot(one.attempt_id)
        alike[claimed.destination_id, one.state, *slots, *name_durations(one)] += 1
    tally: Counter[tuple[UUID, int, str, int]] = Counter()
    for (sink, state, accepted, tried, *durations), n in alike.items():
        if state in ENDED:
            tally[tenants[sink], sink, state, accepted] += n
        for what in filter(None, durations):
            tally[tenants[sink], 0, str(what), tried] += n  # of the tenant: fewer rows are written
    return tally


def name_durations(one: Settlement) -> tuple[str, str]:
    """Return the classes of the times from acceptance to the first try and to delivery. A replay has none."""
    claimed, is_first, is_last = one.claimed, one.claimed.tries == 1, one.state == "delivered"
    if claimed.replayed or not (is_first or is_last):
        return "", ""
    began = one.started_at.timestamp() - (claimed.id.int >> 80) / 1000
    first = FIRSTS[bisect_left(BOUNDS, began)] if is_first else ""
    return first, DONES[bisect_left(BOUNDS, began + one.timings.total)] if is_last else ""
