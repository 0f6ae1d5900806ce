"""Broker state: what all processes share in the broker's Redis. It may be lost or be away without harm."""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from redis.commands.core import Script

log = logging.getLogger(__name__)

T = TypeVar("T")
TIMEOUT = 0.25  # seconds to wait for Redis
QUIET_SECONDS = 5.0  # seconds without a request after Redis failed, so that a dead Redis costs no time

_quiet_until = 0.0


def ask_broker(ask: Callable[[redis.Redis], T]) -> T | None:
    """Return what `ask` gets from Redis. If anything is raised, return None."""
    global _quiet_until
    now = time.monotonic()
    if now < _quiet_until:
        return None
    if _quiet_until:  # it was down: one thread tries again, and the others do not wait
        _quiet_until = now + QUIET_SECONDS
    try:
        answer = ask(get_client())
    except Exception as error:  # Redis and its client raise many kinds
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("the broker's Redis can't be asked; each process counts for itself: %s", error)
        return None
    _quiet_until = 0.0
    return answer


@functools.lru_cache(20_000)
def make_key(what: str, whose: str) -> str:
    """Return a short key that is the same in all processes."""
    return f"eventsinks:{what}:{hashlib.blake2b(whose.encode(), digest_size=8).hexdigest()}"


@functools.cache
def get_client() -> redis.Redis:
    """Return the client. It waits a short time, and tries once."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


@functools.cache
def make_script(text: str) -> Script:
    """Return a Lua script, ready to be called with `client=`."""
    return get_client().register_script(text)
