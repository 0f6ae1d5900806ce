"""Trials: whatever has a thread wait for a far end while somebody waits for the answer. So many at once.

Who finds no place is refused at once and never waits. A place is a lease in the broker's Redis, so that one whose
process was killed is free again; this process counts its own besides, and alone where Redis is away.
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

LEASE = 60  # seconds after which a place is free whatever became of who had it: above what a trial can last

# KEYS[1]: the places, by when each is free. ARGV: how many there are, a name for the new one, seconds of a lease.
# Answers nothing where it is given, else how many are taken and the milliseconds until the first of them is free.
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
_since: dict[uuid.UUID, list[float]] = {}  # tenant: when each that is under way in this process began


@contextmanager
def hold_trial(tenant: Tenant, *, counted: bool = True) -> Iterator[None]:
    """Hold one of the tenant's places while inside. Raises LimitReached at once where none is free.

    With `counted` it is one of the tests of a minute, too.
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
    """Return how many are under way."""
    found = ask_broker(lambda client: client.zcard(make_key("trials", tenant.id.hex)))
    return max(int(found or 0), len(_since.get(tenant.id, ())))


def enter_here(tenant: Tenant, most: int) -> float:
    """Take a place of this process, and return when. Raises LimitReached."""
    now = time.monotonic()
    with _lock:
        since = _since.get(tenant.id, [])
        if len(since) < most:
            _since[tenant.id] = [*since, now]
            return now
    wait = LEASE - (now - min(since, default=now))
    raise note_refusal(tenant, "tests_at_once", len(since), max(1, math.ceil(wait)))


def enter_shared(tenant: Tenant, most: int, key: str, name: str) -> None:
    """Take a place of all processes. Raises LimitReached."""
    full = ask_broker(lambda client: make_script(ENTER)(keys=[key], args=[most, name, LEASE], client=client))
    if full:
        raise note_refusal(tenant, "tests_at_once", int(full[0]), max(1, math.ceil(int(full[1]) / 1000)))


def leave_here(tenant: Tenant, began: float) -> None:
    """Give a place of this process back."""
    with _lock:
        _since[tenant.id].remove(began)
        if not _since[tenant.id]:
            del _since[tenant.id]
