"""Nudge: tell a worker that there is work. May be lost, doubled or reordered without harm."""

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
FLAG_SECONDS = 2  # a flag whose nudge was lost is in the way no longer than this
QUIET_SECONDS = 5.0  # how long a broker that is down is left alone

_quiet_until = 0.0


def nudge(task: str = DELIVERIES) -> None:
    """Nudge once the transaction is committed. Never raises: what a lost nudge leaves, the sweep finds."""

    def after_commit() -> None:
        _send(task)

    transaction.on_commit(after_commit)


def note_answered(task: str = DELIVERIES) -> None:
    """Say that a worker is about to look: the next nudge is needed again."""
    with suppress(redis.RedisError):  # the flag runs out by itself
        get_flags().delete(FLAG + task)


def _send(task: str = DELIVERIES) -> None:
    """Send one task for all nudges until a worker answers."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        if get_flags().set(FLAG + task, 1, nx=True, ex=FLAG_SECONDS):
            current_app.send_task(task, expires=60, ignore_result=True)
    except Exception as error:  # whatever the broker's client raises
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("the broker can't be reached; the sweep will find the work: %s", error)


@functools.cache
def get_flags() -> redis.Redis:
    """Return the client of the broker's Redis, where the flag is."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)
