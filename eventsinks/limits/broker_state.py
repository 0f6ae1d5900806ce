"""Shared: what all processes know together, in the broker's Redis. It may be lost, or be away, without harm."""

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
TIMEOUT = 0.25  # seconds that Redis is waited for
QUIET_SECONDS = 5.0  # how long one that is down is left alone: it costs nobody anything until then

_quiet_until = 0.0


def ask_broker(ask: Callable[[redis.Redis], T]) -> T | None:
    """Return what `ask` gets of Redis; None where it can't be asked, whatever is raised."""
    global _quiet_until
    now = time.monotonic()
    if now < _quiet_until:
        return None
    if _quiet_until:  # it was down: one tries again, and meanwhile the others wait for nobody
        _quiet_until = now + QUIET_SECONDS
    try:
        answer = ask(get_client())
    except Exception as error:  # whatever Redis or its client raises
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.warning("the broker's Redis can't be asked; each process counts for itself: %s", error)
        return None
    _quiet_until = 0.0
    return answer


@functools.lru_cache(20_000)
def make_key(what: str, whose: str) -> str:
    """Return a key: short, and the same for all processes."""
    return f"eventsinks:{what}:{hashlib.blake2b(whose.encode(), digest_size=8).hexdigest()}"


@functools.cache
def get_client() -> redis.Redis:
    """Return the client: it waits shortly, and tries once."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


@functools.cache
def make_script(text: str) -> Script:
    """Return a script in Lua, ready to be called with `client=`."""
    return get_client().register_script(text)
