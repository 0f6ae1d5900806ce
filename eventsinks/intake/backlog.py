"""Backlog: limits how many deliveries may wait at an event sink.

If a sink's backlog is full, a new delivery fails at once: it is recorded with the reason, goes to the fallback
sink, and can be replayed later. The tenant's other sinks are not affected.

Requests do not count rows. A count stays valid until its room is used up; if there is little room, it stays valid
for a hundred times as long as it took. So counting costs one hundredth of the time at most, and a large backlog
may exceed its limit by what arrives between two counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eventsinks.intake.route import RouteVerdict
from eventsinks.limits import refusals
from eventsinks.models import Tenant
from eventsinks.models.delivery import count_open

NAME = "pending_per_sink"
FULL = "the event sink's backlog is full: {} deliveries wait. A replay sends it"
EASY = 10.0  # seconds for which a count is valid while there is much room
SHARE = 10  # so many processes may each use this fraction of the room meanwhile
COSTS = 100  # with little room, a count is valid so many times as long as it took
MOST = 100_000  # sinks that this process remembers

_lock = threading.Lock()
_looked: dict[int, KnownRoom] = {}
_counted: dict[tuple[int, int], tuple[float, int]] = {}  # for display: valid until, and the number


@dataclass(slots=True)
class KnownRoom:
    """What this process knows of a sink: `left` more may come until `until`; `final`: no count before that."""

    most: int
    left: int
    until: float
    final: bool


def mark_full(tenant: Tenant, verdicts: Sequence[Sequence[RouteVerdict]]) -> list[list[RouteVerdict]]:
    """Return the verdicts on some events, those marked as full for which there is no room."""
    wanted: dict[int, int] = {}
    for own in verdicts:
        for verdict in own:
            if not verdict.reason:
                wanted[verdict.sink] = wanted.get(verdict.sink, 0) + 1
    rooms = find_rooms(tenant, wanted)
    if not rooms:
        return [list(own) for own in verdicts]
    said = FULL.format(f"{tenant.limits.pending_per_sink:,}")
    return [[mark_verdict(verdict, rooms, said) for verdict in own] for own in verdicts]


def mark_verdict(verdict: RouteVerdict, rooms: dict[int, int], said: str) -> RouteVerdict:
    """Return a verdict, as full where its sink is one of `rooms` and has none left."""
    if verdict.reason or verdict.sink not in rooms:
        return verdict
    rooms[verdict.sink] -= 1
    return verdict if rooms[verdict.sink] >= 0 else verdict._replace(reason=said, full=True)


def note_full(tenant: Tenant, verdicts: Iterable[RouteVerdict]) -> int:
    """Note what has failed for want of room, once that is committed. Return how many."""
    full = [verdict for verdict in verdicts if verdict.full]
    if full:
        refusals.note_refusal(NAME, tenant.id, full[0].reason, len(full))
    return len(full)


def count_waiting(tenant: Tenant, sinks: Collection[int]) -> dict[int, int]:
    """Return how many deliveries wait at these sinks, up to the limit. Do not repeat a slow count at once."""
    most, now = tenant.limits.pending_per_sink, time.monotonic()
    with _lock:
        found = {sink: seen[1] for sink in sinks if (seen := _counted.get((sink, most))) and seen[0] > now}
    counted = count_open([sink for sink in sinks if sink not in found], most + 1)
    until = time.monotonic() + COSTS * (time.monotonic() - now)
    with _lock:
        if len(_counted) > MOST:
            _counted.clear()
        _counted.update({(sink, most): (until, number) for sink, number in counted.items()})
    return found | counted


def has_room(tenant: Tenant, sink_id: int) -> bool:
    """Return whether one more delivery may wait at a sink."""
    return not find_rooms(tenant, {sink_id: 1})


def find_rooms(tenant: Tenant, wanted: Mapping[int, int]) -> dict[int, int]:
    """Return the room of those sinks of `wanted` that have too little."""
    most, now = tenant.limits.pending_per_sink, time.monotonic()
    rooms: dict[int, int] = {}
    with _lock:
        unsure = [sink for sink, number in wanted.items() if not is_known(sink, number, most, now, rooms)]
    if unsure:
        rooms |= count_rooms(unsure, wanted, most)
    return rooms


def is_known(sink: int, number: int, most: int, now: float, rooms: dict[int, int]) -> bool:
    """Return whether this process knows enough: there is enough room, or only so much as it puts into `rooms`."""
    found = _looked.get(sink)
    if found is None or found.until <= now or found.most != most:
        return False
    if found.left < number:
        if not found.final:
            return False
        rooms[sink] = found.left
    found.left = max(0, found.left - number)
    return True


def count_rooms(sinks: Collection[int], wanted: Mapping[int, int], most: int) -> dict[int, int]:
    """Count what waits at these sinks. Return the room of those that have too little."""
    began = time.monotonic()
    waiting = count_open(sinks, most)
    now = time.monotonic()
    rooms: dict[int, int] = {}
    with _lock:
        if len(_looked) > MOST:
            _looked.clear()
        for sink in sinks:
            room, number = max(0, most - waiting.get(sink, 0)), wanted[sink]
            if room < number:
                rooms[sink] = room
            left = max(0, room - number)
            if left > most // 2:
                _looked[sink] = KnownRoom(most, left // SHARE, now + EASY, final=False)
            else:
                _looked[sink] = KnownRoom(most, left, now + COSTS * (now - began) / len(sinks), final=True)
    return rooms


def forget() -> None:
    """Forget what this process knows."""
    with _lock:
        _looked.clear()
        _counted.clear()
