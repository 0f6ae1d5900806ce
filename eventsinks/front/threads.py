"""Threads: a fixed number, shared by callers so that no caller has all, and each waiting caller gets its turn.

Only the work itself runs in a thread. Everything else runs on the event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from eventsinks.front.answers import Gone, refuse_busy

T = TypeVar("T")
Turn = tuple["asyncio.Future[None]", Callable[[], bool]]


def never_left() -> bool:
    """Return that the client is still there, for callers who can't know."""
    return False


class Threads:
    """A pool of `size` threads. One caller gets at most three quarters, and at most `waiting` requests wait."""

    def __init__(self, name: str, size: int, waiting: int) -> None:
        self._size, self._bound = size, waiting
        self._share = max(1, size * 3 // 4)
        self._running: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.busy = 0
        self.waiting = 0
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    async def run(self, caller: str, work: Callable[[], T], is_gone: Callable[[], bool] = never_left) -> T:
        """Do `work` in a thread, when it is this caller's turn.

        Raises Refusal if too many wait already, Gone if the client left before its turn, and any error of `work`.
        """
        await self._turn(caller, is_gone)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            result, error = get_outcome(work)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(self._finished, caller, done, result, error)

        self._jobs.put(job)
        return await done

    async def _turn(self, caller: str, is_gone: Callable[[], bool]) -> None:
        if self.busy < self._size and self._running[caller] < self._share:
            self._take(caller)
            return
        own = len(self._queues.get(caller, ()))
        if self.waiting >= self._bound or own >= max(1, self._bound // 2):
            raise refuse_busy("threads")
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(caller, deque()).append((turn, is_gone))
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(caller)
            raise

    def _take(self, caller: str) -> None:
        self.busy += 1
        self._running[caller] += 1

    def _release(self, caller: str) -> None:
        self.busy -= 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        while self.busy < self._size and self._give():
            pass

    def _give(self) -> bool:
        """Give a free thread to the next caller below its share. Return whether there was one."""
        for caller, waits in self._queues.items():
            if self._running[caller] >= self._share:
                continue
            turn, is_gone = waits.popleft()
            self.waiting -= 1
            self._queues.move_to_end(caller)
            if not waits:
                del self._queues[caller]
            if turn.done():
                return True
            if is_gone():
                turn.set_exception(Gone())
                return True
            self._take(caller)
            turn.set_result(None)
            return True
        return False

    def _finished(self, caller: str, done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._release(caller)
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def _work(self) -> None:
        while True:
            self._jobs.get()()


def get_outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Return what `work` returned, or what it raised."""
    try:
        return work(), None
    except BaseException as error:
        return None, error
