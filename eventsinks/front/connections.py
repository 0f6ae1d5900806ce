"""The open connections of a process, and the bytes of answers that are not read yet: both are bounded.

At the bound of connections, one that waits for its client is closed: the oldest of the address that has most.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from eventsinks.front.counts import OPEN, refusals
from eventsinks.front.limits import FrontLimits


class Closable(Protocol):
    """What this module needs to know of a connection."""

    transport: asyncio.Transport
    peer: str


class Connections:
    """The open connections. `idle` ones wait for a request, or for the rest of its head."""

    def __init__(self, limits: FrontLimits) -> None:
        self._limits = limits
        self._open: set[Closable] = set()
        self._idle: dict[str, dict[Closable, None]] = {}  # by address, oldest first
        self._unread: dict[Closable, int] = {}  # bytes, oldest first
        self._unread_bytes = 0
        OPEN.set_function(lambda: len(self._open))

    def add(self, one: Closable) -> None:
        """Count a new connection, which is idle. At the bound, close an older one."""
        if len(self._open) >= self._limits.connections and self._idle:
            most = max(self._idle.values(), key=len)
            self._close(next(iter(most)), "connections")
        self._open.add(one)
        self.is_idle(one)

    def remove(self, one: Closable) -> None:
        """Stop counting a connection."""
        self._open.discard(one)
        self.is_unread(one, 0)
        self.is_busy(one)

    def is_idle(self, one: Closable) -> None:
        """Note that a connection waits for a request."""
        self._idle.setdefault(one.peer, {})[one] = None

    def is_busy(self, one: Closable) -> None:
        """Note that the head of a request has arrived."""
        own = self._idle.get(one.peer, {})
        own.pop(one, None)
        if not own:
            self._idle.pop(one.peer, None)

    def is_unread(self, one: Closable, count: int) -> None:
        """Note how many bytes of a connection's answers are unread.

        If there are too many in all, close the oldest.
        """
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
