"""Fairness: how many requests each sink may have in flight, and how a claim is divided among the sinks.

Each sink has a congestion window. It starts small, grows by one with every quick success, and halves with every
failure or slow answer. So a sink that hangs or answers slowly uses few slots, and a healthy sink gets events as
fast as it accepts them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from eventsinks.models.delivery import Lane

FIRST_SHARE = 8.0
LARGEST_SHARE = 128.0
SMALLEST_SHARE = 2.0
SLOW = 1.0  # seconds; the window does not grow on a slower answer, or a few slow sinks would use every slot


class CongestionWindows:
    """How many requests each sink may have in flight, and how many it has."""

    def __init__(self) -> None:
        self.in_flight: Counter[int] = Counter()
        self._share: dict[int, float] = {}

    def sent(self, destination_id: int) -> None:
        """Count one more request in flight."""
        self.in_flight[destination_id] += 1

    def ended(self, destination_id: int, *, well: bool, seconds: float = 0.0) -> None:
        """Count one request less in flight. Change the window by its success and its seconds."""
        self.in_flight[destination_id] -= 1
        if not self.in_flight[destination_id]:
            del self.in_flight[destination_id]
        share = self._share.get(destination_id, FIRST_SHARE)
        if well and seconds <= SLOW:
            self._share[destination_id] = min(share + 1, LARGEST_SHARE)
        else:
            least = min(share, FIRST_SHARE) if well else SMALLEST_SHARE
            self._share[destination_id] = max(share / 2, least)

    def left(self, destination_id: int) -> int:
        """Return how many more requests the sink may have in flight."""
        share = self._share.get(destination_id, FIRST_SHARE)
        return max(0, int(share) - self.in_flight[destination_id])

    def quotas(self, lanes: Sequence[Lane], room: int) -> list[tuple[Lane, int]]:
        """Divide `room` evenly among the sinks of `lanes`, none above its window, first tries before retries.

        The order of the sinks is random. So when there are more lanes than room, every sink gets a share sooner or
        later.
        """
        by_sink: dict[int, list[Lane]] = {}
        for lane in lanes:
            by_sink.setdefault(lane.destination_id, []).append(lane)
        sinks = random.sample(list(by_sink), len(by_sink))
        quotas = []
        for position, sink in enumerate(sinks):
            own = min(self.left(sink), -(-room // (len(sinks) - position)))
            for lane, quota in split_quota(by_sink[sink], own):
                quotas.append((lane, quota))
                room -= quota
        return quotas


def split_quota(lanes: Sequence[Lane], quota: int) -> list[tuple[Lane, int]]:
    """Split the quota of one sink: half to the lane with the fewest tries, half of the rest to the next, …"""
    shares = []
    for position, lane in enumerate(sorted(lanes, key=lambda lane: lane.tries)):
        last = position == len(lanes) - 1
        take = quota if last else -(-quota // 2)
        quota -= take
        if take:
            shares.append((lane, take))
    return shares
