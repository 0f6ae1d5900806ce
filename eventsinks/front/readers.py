"""Readers: the bodies that are being read, and the bytes in memory, bounded for each caller and in total.

At a bound, the slowest reader has to stop, and not the newcomer. So a caller that keeps many bodies open can
displace only its own, and one that sends at a fair speed is never the slowest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from eventsinks.front.answers import refuse_busy
from eventsinks.front.limits import FrontLimits

HEAD_START = 64 * 1024  # bytes that each reader counts as sent at the start, so that a newcomer is fast


class Hold:
    """The bytes that one request holds: its body, while it is read and until it is answered."""

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.bytes = 0
        self.since = time.monotonic()
        self.clock: asyncio.Timeout | None = None  # runs while the body is read

    def speed(self, now: float) -> float:
        """Return the speed in bytes per second."""
        return (self.bytes + HEAD_START) / (now - self.since + 0.001)


class Readers:
    """The bodies that are being read, and the bytes that each caller holds."""

    def __init__(self, limits: FrontLimits) -> None:
        self._limits = limits
        self._reading: dict[str, set[Hold]] = {}
        self._held: Counter[str] = Counter()
        self.count = 0
        self.bytes = 0

    @contextmanager
    def hold(self, caller: str) -> Iterator[Hold]:
        """Let a request hold bytes until it is answered."""
        hold = Hold(caller)
        try:
            yield hold
        finally:
            self.stop_reading(hold)
            self.give_back(hold)

    def start_reading(self, hold: Hold, clock: asyncio.Timeout) -> None:
        """Count a body that is being read. If there are too many, stop the slowest."""
        own = self._reading.setdefault(hold.caller, set())
        if len(own) >= self._limits.bodies_each:
            self._end(find_slowest(own))
        elif self.count >= self._limits.bodies:
            self._end(find_slowest(max(self._reading.values(), key=len)))
        hold.clock, hold.since = clock, time.monotonic()
        self._reading.setdefault(hold.caller, set()).add(hold)
        self.count += 1

    def stop_reading(self, hold: Hold) -> None:
        """Stop counting a body: it has arrived, or its time is over."""
        own = self._reading.get(hold.caller, set())
        if hold not in own:
            return
        own.remove(hold)
        self.count -= 1
        if not own:
            del self._reading[hold.caller]

    def grow(self, hold: Hold, count: int) -> None:
        """Hold so many bytes more. Raises Refusal if they are too many and no reader can be stopped."""
        hold.bytes += count
        self._held[hold.caller] += count
        self.bytes += count
        while self._held[hold.caller] > self._limits.held_bytes // 2:
            self._make_place(hold, [hold.caller])
        while self.bytes > self._limits.held_bytes:
            self._make_place(hold, [caller for caller, _ in self._held.most_common()])

    def give_back(self, hold: Hold, count: int | None = None) -> None:
        """Hold so many bytes less, or none."""
        count = hold.bytes if count is None else min(count, hold.bytes)
        hold.bytes -= count
        self.bytes -= count
        self._held[hold.caller] -= count
        if self._held[hold.caller] <= 0:
            del self._held[hold.caller]

    def _make_place(self, hold: Hold, callers: list[str]) -> None:
        for caller in callers:
            others = [other for other in self._reading.get(caller, ()) if other is not hold and other.bytes]
            if others:
                self._end(max(others, key=lambda other: other.bytes))
                return
        raise refuse_busy("bytes")

    def _end(self, hold: Hold) -> None:
        self.stop_reading(hold)
        self.give_back(hold)
        if hold.clock is not None:
            hold.clock.reschedule(asyncio.get_running_loop().time())


def find_slowest(holds: set[Hold]) -> Hold:
    """Return the one that has sent least in its time."""
    now = time.monotonic()
    return min(holds, key=lambda hold: hold.speed(now))
