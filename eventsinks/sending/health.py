"""Health: writes what tries say of their destination into its row, and gives out the probes of a breaker.

A dispatcher sums up the tries of a destination in trouble, and writes them at most once in WRITE_AFTER seconds. If
its process dies, the sum is lost, and the next tries say the same. Each write is one short transaction that holds
the row's lock, and skips a row that another process has locked.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models.functions import Now

from eventsinks.destinations.base import DestinationGone, EventRefused, SendFailure
from eventsinks.limits.isolation import isolate
from eventsinks.models import Destination
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import ClaimedDelivery, Lane
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import Breaker
from eventsinks.sending.breaker import BUSY, Tally, get_ramp_rate, give_out_probes, weigh
from eventsinks.sending.postpone import PostponedWrites

WRITE_AFTER = 1.0  # seconds; the tries of so long are one write
OBSOLETE = 10.0  # seconds; a write that a lock prevented for so long is dropped: newer tries say more
COLUMNS = (
    *("trouble", "trouble_since", "trouble_reason", "trouble_at", "failed_at", "failed_in_a_row"),
    *("window_at", "taken", "refused", "faulted", "breaker", "breaker_at", "times_opened", "probes", "held_until"),
)
PROBED = (Breaker.OPEN, Breaker.HALF_OPEN)


def tally_try(tally: Tally, failure: SendFailure | None, *, doubted: bool = False) -> None:
    """Add a try to a tally. What asks for a pause is no failure: the destination is held."""
    if failure is None:
        tally.taken += 1
        return
    if getattr(failure, "retry_after", None) or (isinstance(failure, EventRefused) and failure.response is None):
        return
    busy = failure.response is not None and failure.response.status == BUSY
    if isinstance(failure, EventRefused) or busy:
        tally.refused += 1
    else:
        tally.faulted += 1
    tally.doubted |= doubted
    tally.reason = failure.reason


def record_tries(destination_id: int, version: int, tally: Tally, *, probes: bool = False) -> bool:
    """Write tries into the row, unless the destination was changed since. Return False if a lock prevented it."""

    def change(row: Destination, now: datetime) -> None:
        weigh(row, tally, now, probes=probes)
        row.trouble_reason = clean_text(row.trouble_reason[:2000])

    return change_row(destination_id, version, change)


def take_probes(destination_id: int, version: int, wanted: int) -> int:
    """Take at most `wanted` probes of a breaker that is not closed. Return how many; 0 if a lock prevents it."""
    given = 0

    def change(row: Destination, now: datetime) -> None:
        nonlocal given
        if row.held_until is None or row.held_until <= now:
            given = give_out_probes(row, wanted, now, settings.EVENTSINKS_LEASE)

    change_row(destination_id, version, change)
    return given


def give_back_probes(destination_id: int, version: int, count: int) -> bool:
    """Give back probes that found nothing to send. Return False if a lock prevented it."""

    def change(row: Destination, _: datetime) -> None:
        if row.breaker == Breaker.HALF_OPEN:
            row.probes += count

    return change_row(destination_id, version, change)


def change_row(destination_id: int, version: int, change: Callable[[Destination, datetime], None]) -> bool:
    """Change the columns of an active destination that is still at `version`. Return False if it is locked."""
    same = Destination.objects.filter(id=destination_id, version=version, state=DestinationState.ACTIVE)
    with transaction.atomic():
        free = same.select_for_update(no_key=True, skip_locked=True).annotate(now=Now())
        row = free.only("id", "type", *COLUMNS).first()
        if row is None:
            return not same.exists()
        before = {column: getattr(row, column) for column in COLUMNS}
        change(row, row.now)  # type: ignore[attr-defined]
        changes = {column: getattr(row, column) for column in COLUMNS if getattr(row, column) != before[column]}
        if changes:
            Destination.objects.filter(id=destination_id).update(**changes)
    return True


def slow_down(lane: Lane) -> Lane:
    """Return a lane with the rate of its ramp, if that is below its own."""
    rate = get_ramp_rate(lane.ramp_s)
    return lane._replace(rate=min(rate, lane.rate or rate) or lane.rate)


class HealthWrites:
    """The tries of one dispatcher that are not written yet, and the probes that it has sent."""

    def __init__(self, aside: PostponedWrites) -> None:
        self._aside = aside
        self._watched: set[int] = set()  # destinations in trouble, of which successes count too
        self._probes: set[UUID] = set()
        self._tallies: dict[tuple[int, int, bool], Tally] = {}  # by destination, version, and whether it probed
        self._write_at = 0.0

    def watch(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Remember which destinations are in trouble. Return the lanes, with the rates of those in their ramp."""
        counted = {destination_id for destination_id, _, _ in self._tallies}
        for lane in lanes:
            if lane.watched:
                self._watched.add(lane.destination_id)
            elif lane.destination_id not in counted:
                self._watched.discard(lane.destination_id)
        return [lane if lane.breaker != Breaker.RAMP else slow_down(lane) for lane in lanes]

    def leave_probes(self, quotas: Sequence[tuple[Lane, int]]) -> list[tuple[Lane, int]]:
        """Reduce the quotas of destinations whose breaker is open or half-open to the probes that they get."""
        wanted = Counter[tuple[int, int]]()
        for lane, quota in quotas:
            if lane.breaker in PROBED:
                wanted[lane.destination_id, lane.version] += quota
        left = {}
        for (destination_id, version), most in wanted.items():
            left[destination_id] = take_probes(destination_id, version, most)
        allowed = []
        for lane, quota in quotas:
            if lane.breaker in PROBED:
                quota = min(quota, left[lane.destination_id])
                left[lane.destination_id] -= quota
            if quota:
                allowed.append((lane, quota))
        return allowed

    def note_claimed(self, quotas: Sequence[tuple[Lane, int]], claimed: Sequence[ClaimedDelivery]) -> None:
        """Remember the claimed probes, and give back those for which nothing was claimed."""
        unused = Counter[tuple[int, int]]()
        versions = {}
        for lane, quota in quotas:
            if lane.breaker in PROBED:
                versions[lane.destination_id] = lane.version
                unused[lane.destination_id, lane.version] += quota
        for one in claimed:
            if one.destination_id in versions:
                self._probes.add(one.id)
                unused[one.destination_id, versions[one.destination_id]] -= 1
        for (destination_id, version), count in unused.items():
            if count > 0:
                with suppress(OperationalError):  # the next round gives them out
                    give_back_probes(destination_id, version, count)

    def note(
        self, claimed: ClaimedDelivery, version: int, failure: SendFailure | None, *, doubted: bool = False
    ) -> bool:
        """Count one try. Return whether it was a probe."""
        destination_id = claimed.destination_id
        if failure is None and destination_id not in self._watched:
            return False
        probed = claimed.id in self._probes
        self._probes.discard(claimed.id)
        if isinstance(failure, DestinationGone):  # it is disabled
            return probed
        self._watched.add(destination_id)
        if not self._tallies:
            self._write_at = time.monotonic() + WRITE_AFTER
        if probed:
            self._write_at = 0.0
        tally = self._tallies.setdefault((destination_id, version, probed), Tally())
        tally_try(tally, failure, doubted=doubted)
        return probed

    def write_if_due(self, *, now: bool = False) -> None:
        """Write the tallies if it is time, or `now`."""
        if not self._tallies or (not now and time.monotonic() < self._write_at):
            return
        tallies, self._tallies = self._tallies, {}
        for (destination_id, version, probed), tally in tallies.items():
            with isolate(f"tries of destination {destination_id} are not counted"):
                write = functools.partial(record_tries, destination_id, version, tally, probes=probed)
                self._aside.write(("health", (destination_id, probed)), write, OBSOLETE)
