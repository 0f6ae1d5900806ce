"""Settle tries: keeps ended tries until they are written, many at once, even if the database is briefly away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, OperationalError, connection

from eventsinks import telemetry
from eventsinks.limits.isolation import isolate
from eventsinks.models.database import sql
from eventsinks.models.delivery import (
    ENDS,
    ClaimedDelivery,
    Settlement,
    call_next,
    find_still_held,
    settle,
    settle_free,
    suppress_untold_ends,
)

log = logging.getLogger(__name__)

SETTLE = 800  # settle as soon as so many tries have ended,
SETTLE_AFTER = 0.02  # or after so many seconds
SETTLE_TRIES = 5
AGAIN = 1.0  # seconds until deliveries that another process has locked are tried again


class EndedTries:
    """Tries that have ended and are not settled yet. Those that another process has locked are settled apart."""

    def __init__(self) -> None:
        self._unsettled: list[tuple[str, Settlement]] = []  # each with the key of its destination type
        self._locked: list[Settlement] = []
        self._again_at = 0.0
        self.settle_at = 0.0
        self.has_called = False  # whether a settlement made a delivery due that stood behind another

    def __bool__(self) -> bool:
        """Return whether something could be settled now."""
        return bool(self._unsettled)

    def add(self, key: str, settled: Settlement) -> None:
        """Keep one settlement until it is written. `key` is the key of its destination type."""
        if not self._unsettled:
            self.settle_at = time.monotonic() + SETTLE_AFTER
        self._unsettled.append((key, settled))

    def settle_if_due(self, in_flight: int) -> int:
        """Settle if it is time, or if nothing is in flight. Return how many were settled."""
        if self._locked and time.monotonic() >= self._again_at:
            self._locked = self._settled(self._locked)
        due = len(self._unsettled) >= SETTLE or time.monotonic() >= self.settle_at
        if not self._unsettled or (in_flight and not due):
            return 0
        ended, self._unsettled = self._unsettled, []
        self._locked += self._settled([settled for _, settled in ended])
        telemetry.count_tries(ended)
        return len(ended)

    def _settled(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Settle them, and call the deliveries behind them. Return those that another process has locked."""
        if left := settle_surely(settlements):
            log.warning("%d deliveries are locked by somebody else; they are settled later", len(left))
            self._again_at = time.monotonic() + AGAIN
        self._call_behind([one.claimed for one in settlements if one.state != "pending"])
        return left

    def without_untold(self, claimed: Sequence[ClaimedDelivery]) -> list[ClaimedDelivery]:
        """Return the deliveries to send. Suppress the end of an incident if its beginning did not reach the sink.

        If a lock prevents this, leave the ends out: they are due again when their leases run out.
        """
        try:
            left = suppress_untold_ends(claimed)
        except OperationalError as error:
            if not sql.is_locked(error):
                raise
            log.warning("whether ends of incidents are to be told can't be found out now: %s", error)
            return [one for one in claimed if one.phase not in ENDS]
        kept = {one.id for one in claimed} - {one.id for one in left}
        self._call_behind([one for one in claimed if one.id in kept])
        return left

    def _call_behind(self, ended: Sequence[ClaimedDelivery]) -> None:
        """Call the deliveries behind those that ended for good. Calling skips what is not settled yet."""
        lines = {(one.destination_id, one.ordering_key) for one in ended if one.ordering_key is not None}
        if lines:
            with isolate("who stands behind is called by the sweep"):
                self.has_called = bool(call_next(lines)) or self.has_called


def settle_surely(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Settle, and try again if the database is away for a while. Return what another process has locked.

    What stays unsettled is due again when its lease runs out.
    """
    for attempt in range(1, SETTLE_TRIES + 1):
        try:
            return settle_past_locks(settlements)
        except DatabaseError:
            if attempt == SETTLE_TRIES:
                raise
            connection.close()
            time.sleep(attempt)
    return []


def settle_past_locks(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Settle what no other process has locked. Return the rest."""
    moved = settle_unless_locked(settle, settlements)
    if moved is None:
        moved = settle_unless_locked(settle_free, settlements)
    if moved is None:  # none of it can be written now
        return list(settlements)
    if moved == len(settlements):
        return []
    left = find_still_held(settlements)
    if moved + len(left) < len(settlements):
        log.warning("%d deliveries were not ours any more", len(settlements) - moved - len(left))
    return left


def settle_unless_locked(
    settle: Callable[[Sequence[Settlement]], int], settlements: Sequence[Settlement]
) -> int | None:
    """Settle, and return how many moved. If another process's lock prevents it, return None and change nothing."""
    try:
        return settle(settlements)
    except OperationalError as error:
        if not sql.is_locked(error):
            raise
        return None
