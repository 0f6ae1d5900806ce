"""Nudge: tells a worker that there is work. A nudge may be lost, doubled or reordered without harm."""

from __future__ import annotations

import functools
import logging
import time
from contextlib import suppress

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

DELIVERIES = "eventsinks.tasks.deliver"
STREAMS = "eventsinks.tasks.look_at_streams"
FLAG = "eventsinks:nudged:"
FLAG_SECONDS = 2  # if a nudge is lost, its flag blocks others no longer than this
QUIET_SECONDS = 5.0  # seconds without a nudge after the broker failed

_quiet_until = 0.0


def nudge(task: str = DELIVERIES) -> None:
    """Nudge after the commit of the transaction. It never raises: if a nudge is lost, the sweep finds the work."""

    def after_commit() -> None:
        _send(task)

    transaction.on_commit(after_commit)


def note_answered(task: str = DELIVERIES) -> None:
    """Record that a worker is about to look for work, so that the next nudge is sent again."""
    with suppress(redis.RedisError):  # the flag expires by itself
        get_flags().delete(FLAG + task)


def _send(task: str = DELIVERIES) -> None:
    """Send one task; more nudges send nothing until a worker answers."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        if get_flags().set(FLAG + task, 1, nx=True, ex=FLAG_SECONDS):
            current_app.send_task(task, expires=60, ignore_result=True)
    except Exception as error:  # the broker's client raises many kinds
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("the broker can't be reached; the sweep will find the work: %s", error)


@functools.cache
def get_flags() -> redis.Redis:
    """Return the client of the broker's Redis, which stores the flag."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)
