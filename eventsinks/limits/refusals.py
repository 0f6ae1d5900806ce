"""Refusals: counts what a limit refused, for the operator, the log and the tenant.

Refusing a flood costs almost nothing: log lines and shared counts are written only once in a few seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import redis

from eventsinks import telemetry
from eventsinks.limits.broker_state import ask_broker, make_key

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two log lines of the same limit and tenant
KEPT = 30 * 86_400  # seconds until shared counts expire after the last refusal
MOST = 10_000  # counts that this process keeps
SINCE = "since"

_lock = threading.Lock()
_counts: dict[tuple[str, str], RefusalCount] = {}


@dataclass(slots=True)
class RefusalCount:
    """How often one limit refused one tenant, or one address, something in this process."""

    since: float
    due: float = 0.0  # time of the next log line
    total: int = 0
    untold: int = 0
    unshared: int = 0


def note_refusal(name: str, whose: UUID | str, message: str, number: int = 1) -> None:
    """Record that a limit refused something. `whose`: the tenant's id, or an address; `message` is for the log."""
    telemetry.REFUSED.labels(name).inc(number)
    with _lock:
        if (count := _counts.get((name, str(whose)))) is None:
            if len(_counts) >= MOST:
                _counts.pop(next(iter(_counts)))
            count = _counts[name, str(whose)] = RefusalCount(time.time())
        count.total += number
        count.untold += number
        count.unshared += number
        now = time.monotonic()
        if now < count.due:
            return
        count.due, told, count.untold = now + EVERY, count.untold, 0
    log.warning("limit.reached limit=%s whose=%s refused=%d: %s", name, whose, told, message)
    if isinstance(whose, UUID):
        share_counts(whose)


def count_refusals(tenant_id: UUID) -> tuple[dict[str, int], datetime | None]:
    """Return how often each limit refused a tenant something, and since when this is counted.

    The counts are of all processes; of this one if Redis is away.
    """
    share_counts(tenant_id)
    key = make_key("refused", tenant_id.hex)
    kept = ask_broker(lambda client: {decode_name(name): float(n) for name, n in client.hgetall(key).items()})
    if kept is None:
        own = get_own_counts(tenant_id)
        kept = {name: count.total for name, count in own.items()}
        kept |= {SINCE: min(count.since for count in own.values())} if own else {}
    since = kept.pop(SINCE, None)
    began = datetime.fromtimestamp(since, UTC) if since else None
    return {name: int(number) for name, number in kept.items()}, began


def share_counts(tenant_id: UUID) -> None:
    """Add this process's counts to the shared ones. If Redis is away, keep them for the next time."""
    key = make_key("refused", tenant_id.hex)
    with _lock:
        open_ = {name: count.unshared for name, count in get_own_counts(tenant_id).items() if count.unshared}
        for name in open_:
            _counts[name, str(tenant_id)].unshared = 0

    def add(client: redis.Redis) -> bool:
        with client.pipeline(transaction=False) as pipe:
            pipe.hsetnx(key, SINCE, str(time.time()))
            for name, number in open_.items():
                pipe.hincrby(key, name, number)
            pipe.expire(key, KEPT)
            pipe.execute()
        return True

    if open_ and not ask_broker(add):
        with _lock:
            for name, number in open_.items():
                if count := _counts.get((name, str(tenant_id))):
                    count.unshared += number


def get_own_counts(tenant_id: UUID) -> dict[str, RefusalCount]:
    """Return what this process counted of a tenant."""
    return {name: count for (name, whose), count in list(_counts.items()) if whose == str(tenant_id)}


def decode_name(name: bytes | str) -> str:
    """Return a name from Redis as text."""
    return name.decode() if isinstance(name, bytes) else name


def forget() -> None:
    """Forget this process's counts."""
    with _lock:
        _counts.clear()
