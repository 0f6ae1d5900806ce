"""Lag: finds out whether deliveries wait for this dispatcher, and not for their sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from eventsinks.limits import sending_lag
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import ClaimedDelivery, Lane

LOOK_EVERY = 0.5  # seconds
BUSY = 0.9  # the part of the time that a dispatcher works which is the limit
BEHIND = timedelta(seconds=sending_lag.BEGINS)


class LagWatch:
    """Measures how much of the time a dispatcher rests, and tells the lags if that is next to nothing."""

    def __init__(self, answers_soon: Callable[[int], bool]) -> None:
        self._answers_soon = answers_soon
        self._began = time.monotonic()
        self._rested = 0.0

    def note_rest(self, seconds: float) -> None:
        """Note that nothing was to do for so long."""
        self._rested += seconds

    def note_claim(self, lanes: Sequence[Lane], claimed: Sequence[ClaimedDelivery]) -> None:
        """Look at a claim: about twice a second, tell how late its deliveries are."""
        now = time.monotonic()
        if (passed := now - self._began) < LOOK_EVERY:
            return
        is_busy = self._rested < passed * (1 - BUSY)
        self._began, self._rested = now, 0.0
        if is_busy and passed < 4 * LOOK_EVERY and (lags := self._find_lags(lanes, claimed)):
            sending_lag.tell_lags(lags)

    def _find_lags(self, lanes: Sequence[Lane], claimed: Sequence[ClaimedDelivery]) -> Mapping[UUID, float]:
        """Return by how many seconds the first tries of these tenants are late because of us."""
        tenants = {one.destination_id: one.tenant_id for one in claimed}
        lags: dict[UUID, float] = {}
        for lane in lanes:
            if lane.tries or lane.rate_key or lane.rate or lane.watched or lane.due_at is None:
                continue
            late = estimate_database_clock() - lane.due_at
            if late > BEHIND and lane.destination_id in tenants and self._answers_soon(lane.destination_id):
                tenant_id = tenants[lane.destination_id]
                lags[tenant_id] = max(lags.get(tenant_id, 0.0), late.total_seconds())
        return lags
