"""Nudge: tells a worker that there is work. A nudge may be lost, doubled or reordered without harm.

Each kind of work has a list in the broker's Redis. A nudge is an element of it, and one resting worker takes all
that are there.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence

import redis
from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

DELIVERIES, STREAMS = "deliveries", "streams"
KEY = "eventsinks:nudges:"
MOST = 100  # nudges that wait for a worker
QUIET_SECONDS = 5.0  # seconds without a nudge after the broker failed

_quiet_until = 0.0


def nudge(work: str = DELIVERIES) -> None:
    """Nudge after the commit of the transaction. It never raises: if a nudge is lost, the sweep finds the work."""

    def after_commit() -> None:
        send_nudge(work)

    transaction.on_commit(after_commit)


def send_nudge(work: str = DELIVERIES) -> None:
    """Nudge now."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        if int(get_client().lpush(KEY + work, 1)) > MOST:
            get_client().ltrim(KEY + work, 0, 0)
    except Exception as error:  # the broker's client raises many kinds
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("the broker can't be reached; the sweep will find the work: %s", error)


def wait_for_nudge(client: redis.Redis, works: Sequence[str], seconds: float) -> str | None:
    """Wait for a nudge to one of `works`, and take all that say the same. Raises redis.RedisError."""
    found = client.blpop([KEY + work for work in works], timeout=seconds)
    if found is None:
        return None
    key = found[0]
    client.delete(key)  # the caller looks for work after this
    return (key.decode() if isinstance(key, bytes) else str(key)).removeprefix(KEY)


@functools.cache
def get_client() -> redis.Redis:
    """Return the client that nudges."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)
