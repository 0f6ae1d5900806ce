"""Resident: threads of a worker that rest until a nudge comes, and then work at once, without a Celery task.

A nudge that is lost is made up for by the sweep, which is a Celery task.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import redis
from django.conf import settings
from django.db import connections

from eventsinks.intake.nudge import send_nudge, wait_for_nudge

log = logging.getLogger(__name__)

WAIT = 30.0  # seconds that one question to the broker lasts
TRY_AGAIN = 1.0  # seconds until the next question after the broker failed
REST = 0.002  # seconds between two nudges of one kind,
REST_BUSY = 0.01  # and while the work of the last one goes on


class Resident:
    """The threads: one hears the nudges, and one for each kind of work does it.

    `jobs` are the kinds of work, `wake` makes a job look again that is still at work.
    """

    def __init__(self, jobs: Mapping[str, Callable[[], object]], wake: Callable[[], None]) -> None:
        self._jobs, self._wake = jobs, wake
        self._bells = {work: threading.Event() for work in jobs}
        self._busy = dict.fromkeys(jobs, False)
        self._stopping = threading.Event()
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=TRY_AGAIN, socket_timeout=WAIT + TRY_AGAIN
        )
        self._threads = [
            threading.Thread(target=self._work, args=[work], name=f"resident {work}", daemon=True) for work in jobs
        ]

    def start(self) -> None:
        """Start the threads."""
        threading.Thread(target=self._listen, name="nudges", daemon=True).start()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Begin no more work, and wait at most so many seconds for the end of what goes on."""
        self._stopping.set()
        self._client.connection_pool.disconnect()
        for bell in self._bells.values():
            bell.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _listen(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            try:
                work = wait_for_nudge(self._client, list(self._jobs), WAIT)
                is_away = False
            except (redis.RedisError, OSError, ValueError) as error:  # the last where `stop` has closed it
                if not is_away and not self._stopping.is_set():
                    log.warning("no nudge can be heard; the sweep finds the work: %s", error)
                is_away = True
                self._stopping.wait(TRY_AGAIN)
                continue
            if work is not None and self._stopping.is_set():
                send_nudge(work)  # another worker may hear it
            elif work is not None:
                self._ring(work)

    def _ring(self, work: str) -> None:
        self._bells[work].set()
        if self._busy[work]:
            self._wake()
        self._stopping.wait(REST_BUSY if self._busy[work] else REST)

    def _work(self, work: str) -> None:
        bell = self._bells[work]
        while True:
            bell.wait()
            bell.clear()
            if self._stopping.is_set():
                return
            self._busy[work] = True
            try:
                self._jobs[work]()
            except Exception:
                log.exception("the resident work on %s failed; the sweep tries again", work)
            finally:
                self._busy[work] = False
                close_broken_connections()


def close_broken_connections() -> None:
    """Close broken connections of this thread. Good ones stay, so that the next work begins at once."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.is_usable():
            connection.close()
