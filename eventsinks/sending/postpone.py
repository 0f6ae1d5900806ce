"""Postpone: repeats the writes that another process's lock prevents, a moment later.

The dispatcher never waits for a lock. It keeps a prevented write here, in the memory of its process, and acts as
if it were written: a sink that could not be parked or held rests. If the process dies, the write is lost. The next
process learns the same again at the cost of one request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from django.db import OperationalError

from eventsinks.limits.isolation import note_harm
from eventsinks.models.database import sql

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between two rounds
IN_VAIN = 0.05  # seconds; after a try that waited longer than this in vain, its kind rests for AGAIN seconds
MOST = 10_000  # postponed writes at most; beyond that, the oldest is dropped


About = tuple[str, Any]  # the kind of a write, and what it is about


class PostponedWrite(NamedTuple):
    """One write. `do` returns whether it succeeded. Until `until` the sinks `rests` rest; then it is obsolete."""

    do: Callable[[], bool]
    until: float
    rests: frozenset[int]


class PostponedWrites:
    """The writes of one dispatcher that wait for a lock. For each `about` only the newest counts."""

    def __init__(self) -> None:
        self._left: dict[About, PostponedWrite] = {}
        self._again_at = 0.0
        self._waited_for: dict[str, float] = {}  # kinds of which one waited in vain, and until when they rest

    def write(
        self,
        about: About,
        do: Callable[[], bool],
        seconds: float = float("inf"),
        rests: Callable[[], Collection[int]] = frozenset,
    ) -> bool:
        """Write now, or later if a lock prevents it; after `seconds` it is obsolete. Return whether it is done.

        If a write about the same thing waits and becomes obsolete later than this one, it stays, and this one is
        dropped.
        """
        if about not in self._left and self._is_done(about, do):
            return True
        until = time.monotonic() + seconds
        before = self._left.get(about)
        if before is None or before.until <= until:
            self._keep(about, PostponedWrite(do, until, before.rests if before else frozenset(rests())))
        return False

    def again(self) -> None:
        """Try the waiting writes again, once in AGAIN seconds."""
        if not self._left or time.monotonic() < self._again_at:
            return
        self._waited_for = {}
        for about, write in list(self._left.items()):
            if time.monotonic() >= write.until or self._is_done_or_hopeless(about, write.do):
                del self._left[about]
            elif about[0] in self._waited_for:
                self._left[about] = self._left.pop(about)  # to the end: the others of its kind come before it
        self._again_at = time.monotonic() + AGAIN

    def resting(self) -> set[int]:
        """Return the sinks that get nothing now, although the database does not say so yet."""
        now = time.monotonic()
        return {id for write in self._left.values() if now < write.until for id in write.rests}

    def _keep(self, about: About, write: PostponedWrite) -> None:
        if not self._left:
            self._again_at = time.monotonic() + AGAIN
        if self._left.pop(about, None) is None:
            log.warning("%s %s can't be written now: somebody else has locked it", *about)
        self._left[about] = write
        if len(self._left) > MOST:
            oldest = next(iter(self._left))
            del self._left[oldest]
            log.error("%s %s was never written: too much waits for locks", *oldest)

    def _is_done(self, about: About, do: Callable[[], bool]) -> bool:
        """Try the write, unless one of its kind has just waited in vain. Return whether it is done."""
        began = time.monotonic()
        if began < self._waited_for.get(about[0], 0.0):
            return False
        try:
            done = do()
        except OperationalError as error:
            if not sql.is_locked(error):
                raise
            done = False
        if not done and time.monotonic() - began > IN_VAIN:
            self._waited_for[about[0]] = time.monotonic() + AGAIN
        return done

    def _is_done_or_hopeless(self, about: About, do: Callable[[], bool]) -> bool:
        try:
            return self._is_done(about, do)
        except Exception as error:
            note_harm(error, f"{about} was never written")
            return True
