"""Fairness: how many requests each sink may have in flight, and how a claim is shared out.

Each sink has a congestion window, as a TCP connection has one. It starts small, grows by one with every soon
answer, and is halved by every failure or slow answer. A sink that hangs holds little. A sink that is well gets its
messages as fast as it takes them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from eventsinks.models.delivery import Lane

FIRST_WINDOW = 8.0
LARGEST_WINDOW = 128.0
SMALLEST_WINDOW = 2.0
SLOW = 1.0  # seconds; an answer that takes longer earns nothing, or a few slow sinks would hold every slot


class CongestionWindows:
    """How many requests each sink may have in flight, and how many it has."""

    def __init__(self) -> None:
        self.in_flight: Counter[int] = Counter()
        self._window: dict[int, float] = {}

    def note_sent(self, destination_id: int) -> None:
        """Note one more in flight."""
        self.in_flight[destination_id] += 1

    def note_ended(self, destination_id: int, *, well: bool, seconds: float = 0.0) -> None:
        """Note one less in flight, and what it says of the sink: whether it took it, and after how long."""
        self.in_flight[destination_id] -= 1
        if not self.in_flight[destination_id]:
            del self.in_flight[destination_id]
        window = self._window.get(destination_id, FIRST_WINDOW)
        if well and seconds <= SLOW:
            self._window[destination_id] = min(window + 1, LARGEST_WINDOW)
        else:
            least = min(window, FIRST_WINDOW) if well else SMALLEST_WINDOW
            self._window[destination_id] = max(window / 2, least)

    def count_left(self, destination_id: int) -> int:
        """Return how many more the sink may have in flight."""
        window = self._window.get(destination_id, FIRST_WINDOW)
        return max(0, int(window) - self.in_flight[destination_id])

    def is_wide(self, destination_id: int) -> bool:
        """Return whether the sink has answered soon, again and again, until now."""
        return self._window.get(destination_id, FIRST_WINDOW) > LARGEST_WINDOW / 2

    def share_out(self, lanes: Sequence[Lane], room: int) -> list[tuple[Lane, int]]:
        """Share `room` out among `lanes`: even shares, no sink above its own, first tries before retries.

        The order of the sinks is random. So when there are more lanes than room, every sink gets a share sooner or
        later.
        """
        by_sink: dict[int, list[Lane]] = {}
        for lane in lanes:
            by_sink.setdefault(lane.destination_id, []).append(lane)
        sinks = random.sample(list(by_sink), len(by_sink))
        quotas = []
        for position, sink in enumerate(sinks):
            own = min(self.count_left(sink), -(-room // (len(sinks) - position)))
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
