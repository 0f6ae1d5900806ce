"""Waiting: the requests that wait for the committer, bounded, each caller in its turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventsinks.door.heads import Head
from eventsinks.front.answers import Refusal, WholeRequest, refuse_busy

MOST_REQUESTS = 500  # of one group,
MOST_BYTES = 1024 * 1024  # and of their bodies: some thirty milliseconds of work, for which the others wait
LINGER = 0.002  # seconds from the end of one group of several to the next: with more requests, each costs less


@dataclass(slots=True, eq=False)
class Posted:
    """A request that waits for its commit. `answered` is done after it.

    Then `body` is the body of its answer, or `refusal` says why there is none; without either, Django answers.
    `counted` are the rates in which it was counted. The answer waits `pause` seconds longer.
    """

    head: Head
    request: WholeRequest
    answered: asyncio.Future[None]
    body: bytes | None = None
    refusal: Refusal | None = None
    counted: frozenset[str] = frozenset()
    pause: float = 0.0
    about: Mapping[str, Any] | None = None  # what the log line says of it


class Waiting:
    """At most `bound` requests, of one caller at most half. The event loop adds, and one thread takes."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lines: OrderedDict[str, deque[Posted]] = OrderedDict()  # by caller
        self._came = threading.Condition()
        self._rests_until = 0.0
        self._closed = False
        self.count = 0

    def add(self, posted: Posted) -> None:
        """Add a request. Raises Refusal if too many wait."""
        with self._came:
            own = len(self._lines.get(posted.request.caller, ()))
            if self.count >= self._bound or own >= max(1, self._bound // 2):
                raise refuse_busy("door")
            self._lines.setdefault(posted.request.caller, deque()).append(posted)
            self.count += 1
            if self.count == 1:
                self._came.notify()

    def take(self) -> list[Posted]:
        """Wait for requests, and take a group of them, one of each caller in turn. It is empty after `close`."""
        if (rest := self._rests_until - time.monotonic()) > 0:
            time.sleep(rest)
        with self._came:
            while not (self.count or self._closed):
                self._came.wait()
            group: list[Posted] = []
            size = 0
            while self.count and len(group) < MOST_REQUESTS:
                caller, line = next(iter(self._lines.items()))
                size += len(line[0].request.body)
                if group and size > MOST_BYTES:
                    break
                group.append(line.popleft())
                self.count -= 1
                self._lines.move_to_end(caller)
                if not line:
                    del self._lines[caller]
        return group

    def close(self) -> None:
        """Let the thread end, after what waits."""
        with self._came:
            self._closed = True
            self._came.notify()

    def rest(self, group: int) -> None:
        """Let the next group of requests gather for a moment, if the last one had several."""
        if group > 1:
            self._rests_until = time.monotonic() + LINGER
