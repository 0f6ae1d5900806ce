"""Trials: limits how many tests of one tenant wait for a far end at once, because each occupies a thread.

If all places are taken, a test is refused at once; it never waits. A place is a lease in the broker's Redis, so
the place of a killed process becomes free again. Each process also counts its own tests; if Redis is away, only
these.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from eventsinks.limits.broker_state import ask_broker, make_key, make_script
from eventsinks.limits.quotas import note_refusal, take_rate
from eventsinks.models import Tenant

LEASE = 60  # seconds after which a place is free in any case; longer than any trial

# KEYS[1]: the places, by the time when each is free. ARGV: number of places, name of the new one, lease (s).
# Returns nothing if it got a place, else how many are taken and the milliseconds until the first is free.
ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local taken = redis.call('ZCARD', KEYS[1])
if taken >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {taken, (first[2] or now) - now}
end
redis.call('ZADD', KEYS[1], now + ARGV[3] * 1000, ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3] * 2)
return {}
"""

_lock = threading.Lock()
_since: dict[uuid.UUID, list[float]] = {}  # tenant: start time of each trial in this process


@contextmanager
def hold_trial(tenant: Tenant, *, counted: bool = True) -> Iterator[None]:
    """Hold one of the tenant's places inside the block. Raises LimitReached at once if none is free.

    With `counted` the trial also counts against the limit of tests in a minute.
    """
    most = tenant.limits.tests_at_once
    began = enter_here(tenant, most)
    key, name = make_key("trials", tenant.id.hex), uuid.uuid4().hex
    try:
        enter_shared(tenant, most, key, name)
        try:
            if counted:
                take_rate(tenant, "tests_per_min")
            yield
        finally:
            ask_broker(lambda client: client.zrem(key, name))
    finally:
        leave_here(tenant, began)


def count_under_way(tenant: Tenant) -> int:
    """Return how many trials of the tenant run now."""
    found = ask_broker(lambda client: client.zcard(make_key("trials", tenant.id.hex)))
    return max(int(found or 0), len(_since.get(tenant.id, ())))


def enter_here(tenant: Tenant, most: int) -> float:
    """Take a place of this process. Return the time when it was taken. Raises LimitReached."""
    now = time.monotonic()
    with _lock:
        since = _since.get(tenant.id, [])
        if len(since) < most:
            _since[tenant.id] = [*since, now]
            return now
    wait = LEASE - (now - min(since, default=now))
    raise note_refusal(tenant, "tests_at_once", len(since), max(1, math.ceil(wait)))


def enter_shared(tenant: Tenant, most: int, key: str, name: str) -> None:
    """Take a place that all processes share. Raises LimitReached."""
    full = ask_broker(lambda client: make_script(ENTER)(keys=[key], args=[most, name, LEASE], client=client))
    if full:
        raise note_refusal(tenant, "tests_at_once", int(full[0]), max(1, math.ceil(int(full[1]) / 1000)))


def leave_here(tenant: Tenant, began: float) -> None:
    """Give a place of this process back."""
    with _lock:
        _since[tenant.id].remove(began)
        if not _since[tenant.id]:
            del _since[tenant.id]
