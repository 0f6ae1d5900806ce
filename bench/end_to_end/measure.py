"""One measurement: post for some seconds, wait until all of it has arrived and is on record, and count the CPU."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.end_to_end.alertmanager import Alertmanager
from bench.end_to_end.far_end import FarEnds
from bench.end_to_end.generator import Posted, post_load
from bench.end_to_end.rows import Row
from bench.end_to_end.system import Ours

WARM = 0.5  # seconds of the same load before the clock starts
LOOK = 0.02  # seconds between two looks whether everything is over
STILL = 1.0  # seconds without progress, after which the system counts as resting
STALLED = 60.0  # seconds without any progress
TICK = 0.01  # seconds: the system counts CPU in these, so that a few alerts may have cost none
TOLD = 1.2  # seconds until PostgreSQL has counted its commits, or a second notification would have come

Figures = dict[str, Any]


class Measurer:
    """Measures rows, and knows which numbers are still free."""

    def __init__(self, far_ends: FarEnds, var: Path, *, tidy: bool = True) -> None:
        self.far_ends = far_ends
        self._posted = var / "posted"
        self._tidy = tidy
        self._next = 1

    def measure_ours(self, ours: Ours, row: Row, seconds: float) -> Figures:
        """Measure one row of ours. Raises SystemExit if anything accepted is missing."""
        cold = ours.read_standing(row)
        self._run(ours, row, WARM, lambda accepted: ours.is_over(row, cold, accepted))
        if self._tidy:
            ours.probe.tidy()
        time.sleep(TOLD)
        before = ours.read_standing(row)
        figures = self._run(ours, row, seconds, lambda accepted: ours.is_over(row, before, accepted))
        time.sleep(TOLD)
        after = ours.read_standing(row)
        ours.check(row, before, after, figures["accepted"])
        figures["commits"] = (after.commits - before.commits) / figures["accepted"]
        figures["commands"] = (after.commands - before.commands) / figures["accepted"]
        return figures

    def measure_peer(self, peer: Alertmanager, row: Row, seconds: float) -> Figures:
        """Measure one row of the peer. Raises SystemExit unless each alert was one notification to each sink."""
        before, first = self.far_ends.arrivals.requests, self._next * row.sinks
        self._run(peer, row, WARM, lambda accepted: True)
        figures = self._run(peer, row, seconds, lambda accepted: True)
        time.sleep(TOLD)
        sent = self.far_ends.arrivals.requests - before
        if sent != self._next * row.sinks - first:
            raise SystemExit(f"{row.name}: Alertmanager sent {sent} notifications, and not one for each alert")
        return figures

    def _run(
        self, system: Ours | Alertmanager, row: Row, seconds: float, is_over: Callable[[int], bool]
    ) -> Figures:
        """Post, wait for the end, and return the figures."""
        arrivals = self.far_ends.arrivals
        unique, repeated, first = arrivals.unique, arrivals.repeated, self._next
        before, began = system.measure_used(), time.monotonic()
        posted = post_load(system.make_load(row, first, seconds), self._posted)
        accepted = len(posted.sent) * row.each
        arriving = accepted * len(row.ports)
        self._next += accepted
        rested = wait_until(
            lambda: arrivals.unique - unique >= arriving and is_over(accepted), lambda: arrivals.unique, row.name
        )
        spent = {part: cpu - before[part] for part, cpu in system.measure_used().items()}
        took = time.monotonic() - began
        if row.streams:  # it waits for a batch to fill, and what the system costs at rest is not the events'
            spent = {part: cpu - rested * system.resting.get(part, 0) for part, cpu in spent.items()}
        received = self._read_received(posted, row, first)
        return {
            "accepted": accepted,
            "accepted_per_s": accepted / (max(posted.answered) - posted.sent[0]),
            "took_s": took,
            **share_out(spent, accepted * max(len(row.ports), 1)),
            "post_ms": find_percentiles([b - a for a, b in zip(posted.sent, posted.answered, strict=True)]),
            "received_ms": find_percentiles(received),
            "repeated": arrivals.repeated - repeated,
        }

    def _read_received(self, posted: Posted, row: Row, first: int) -> Sequence[float]:
        """Return the seconds from each POST until each of its events was received."""
        taken = array("d")
        for port in row.ports:
            times = self.far_ends.arrivals.read(port, first, len(posted.sent) * row.each)
            taken.extend(at - posted.sent[index // row.each] for index, at in enumerate(times))
        return taken


def share_out(spent: dict[str, float], number: int) -> Figures:
    """Return the cost of each part and of all in µs, and how many are done for a second of CPU."""
    total = max(sum(spent.values()), TICK)
    return {
        "cost_us": {part: cpu / number * 1e6 for part, cpu in spent.items()},
        "total_us": total / number * 1e6,
        "per_cpu_s": number / total,
    }


def find_percentiles(seconds: Sequence[float]) -> list[float]:
    """Return p50 and p99 in milliseconds, nothing if there are no values."""
    ordered = sorted(seconds)
    return [ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99)] if ordered else []


def wait_until(done: Callable[[], bool], progress: Callable[[], int], name: str) -> float:
    """Wait until `done`. Return for how many seconds there was no progress, without the first one of each time.

    Raises SystemExit if there is none for long.
    """
    last, since, rested = progress(), time.monotonic(), 0.0
    while not done():
        time.sleep(LOOK)
        now = time.monotonic()
        if (there := progress()) != last:
            rested += max(now - since - STILL, 0)
            last, since = there, now
        if now - since > STALLED:
            raise SystemExit(f"{name}: nothing arrived or was settled for {STALLED:g} s, and some is missing")
    return rested
