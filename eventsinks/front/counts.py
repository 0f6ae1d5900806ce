"""Counts of the front, and the log lines for its refusals."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally

from prometheus_client import Counter, Gauge

log = logging.getLogger(__name__)

REFUSED = Counter("eventsinks_front_refused_total", "Requests that the front refused, by reason.", ["reason"])
READING = Gauge("eventsinks_front_bodies", "Bodies that are being read.")
HELD = Gauge("eventsinks_front_held_bytes", "Bytes of bodies that are being read or answered.")
OPEN = Gauge("eventsinks_front_connections", "Open connections.")
BUSY = Gauge("eventsinks_front_threads_busy", "Threads that answer a request.", ["pool"])
WAITING = Gauge("eventsinks_front_waiting", "Requests that wait for a thread.", ["pool"])
EACH = 1.0  # seconds between two lines for one reason, so that many refusals do not make many lines


class Refusals:
    """Counts refusals, and logs them at most once a second for each reason."""

    def __init__(self) -> None:
        self._unsaid: Tally[str] = Tally()
        self._said: dict[str, float] = {}

    def add(self, reason: str, status: int, peer: str) -> None:
        """Count a refusal. `status` is that of the answer, 0 if none was sent."""
        REFUSED.labels(reason).inc()
        self._unsaid[reason] += 1
        now = time.monotonic()
        if now - self._said.get(reason, -EACH) >= EACH:
            self._said[reason] = now
            times = self._unsaid.pop(reason)
            log.warning("front.refused reason=%s status=%d peer=%s times=%d", reason, status, peer, times)


refusals = Refusals()
