"""The open connections of a process, and how much of their answers is not read yet: both bounded.

Where a bound is reached, a connection that waits for its client is closed: the oldest, of the address with most.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from eventsinks.front.counts import OPEN, refusals
from eventsinks.front.limits import FrontLimits


class Closable(Protocol):
    """What is known of a connection here."""

    transport: asyncio.Transport
    peer: str


class Connections:
    """Which connections there are. `idle` ones wait for a request, or for the rest of its head."""

    def __init__(self, limits: FrontLimits) -> None:
        self._limits = limits
        self._open: set[Closable] = set()
        self._idle: dict[str, dict[Closable, None]] = {}  # by address, the oldest first
        self._unread: dict[Closable, int] = {}  # bytes, the oldest first
        self._unread_bytes = 0
        OPEN.set_function(lambda: len(self._open))

    def add(self, one: Closable) -> None:
        """Count a new connection, which is idle; an older one makes place."""
        if len(self._open) >= self._limits.connections and self._idle:
            most = max(self._idle.values(), key=len)
            self._close(next(iter(most)), "connections")
        self._open.add(one)
        self.is_idle(one)

    def remove(self, one: Closable) -> None:
        """Count one no more."""
        self._open.discard(one)
        self.is_unread(one, 0)
        self.is_busy(one)

    def is_idle(self, one: Closable) -> None:
        """Note that it waits for a request."""
        self._idle.setdefault(one.peer, {})[one] = None

    def is_busy(self, one: Closable) -> None:
        """Note that its request's head has come."""
        own = self._idle.get(one.peer, {})
        own.pop(one, None)
        if not own:
            self._idle.pop(one.peer, None)

    def is_unread(self, one: Closable, count: int) -> None:
        """Note how many bytes of its answers are not read yet; the oldest goes where they are too many."""
        self._unread_bytes += count - self._unread.get(one, 0)
        if count == 0:
            self._unread.pop(one, None)
            return
        self._unread[one] = count
        while self._unread_bytes > self._limits.held_bytes:
            self._close(next(iter(self._unread)), "unread")

    def _close(self, one: Closable, reason: str) -> None:
        refusals.add(reason, 0, one.peer)
        self.remove(one)
        one.transport.abort()
