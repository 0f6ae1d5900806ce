"""Sending lag: slows the intake of a tenant down while its deliveries come in faster than workers can send them.

A worker that is never at rest tells how late the deliveries of each tenant are, at sinks that answer soon. While
that is more than BEGINS, the answers to the tenant's alerts wait a little, more with each second of lag: whoever
posts as fast as answers come then posts as fast as we send. From REFUSED_FROM on, the alerts are refused.
A slow sink does not count: its deliveries wait for the sink, not for us. All this goes through the broker's Redis,
and is forgotten within seconds; without it nobody is slowed down.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from uuid import UUID

from prometheus_client import Counter

from eventsinks.limits.broker_state import ask_broker, make_key

log = logging.getLogger(__name__)

BEGINS = 0.5  # seconds of lag from which on answers wait,
PART = 0.2  # and the part of the lag above it that they wait,
LONGEST = 1.0  # seconds at most
REFUSED_FROM = 30.0  # seconds of lag
TRY_AGAIN = 5  # seconds that a refusal suggests
TOLD_FOR = 3_000  # milliseconds for which the broker keeps a lag
ASK_AGAIN = 0.25  # seconds for which a process uses what it has read,
KNOWN_FOR = 3.0  # and seconds after which it forgets it
SAY_EVERY = 60.0  # seconds between two lines of the log
MOST = 1_000  # tenants of which a process remembers the lag

SLOWED = Counter("eventsinks_intake_slowed_total", "Requests whose answer waited because sending is behind.")

_lock = threading.Lock()
_said_at = -SAY_EVERY
_known: dict[UUID, tuple[float, float]] = {}  # the lag of a tenant in seconds, and when it was read


def tell_lags(lags: Mapping[UUID, float]) -> None:
    """Tell all web servers the lags of these tenants, in seconds."""
    say_so(max(lags.values()), len(lags))

    def write(client: object) -> None:
        pipeline = client.pipeline(transaction=False)  # type: ignore[attr-defined]
        for tenant_id, lag in lags.items():
            pipeline.set(make_key("lag", tenant_id.hex), f"{lag:.1f}", px=TOLD_FOR)
        pipeline.execute()

    ask_broker(write)


def say_so(lag: float, tenants: int) -> None:
    """Log it, once a minute at most."""
    global _said_at
    if time.monotonic() - _said_at >= SAY_EVERY:
        _said_at = time.monotonic()
        log.warning("sending is behind by %.1f s for %d tenants; their alerts are slowed down", lag, tenants)


def read_lags(tenant_ids: Collection[UUID]) -> None:
    """Read the lags of these tenants, in one round trip, unless all were read a moment ago."""
    now = time.monotonic()
    wanted = [id for id in tenant_ids if id not in _known or now - _known[id][1] > ASK_AGAIN]
    if not wanted:
        return
    said = ask_broker(lambda client: client.mget([make_key("lag", id.hex) for id in wanted]))
    with _lock:
        if len(_known) > MOST:
            _known.clear()
        for id, lag in zip(wanted, said or [None] * len(wanted), strict=True):
            _known[id] = (float(lag or 0), now)


def find_lag(tenant_id: UUID) -> float:
    """Return the lag of a tenant as it was last read, in seconds; 0 if that was long ago."""
    lag, read_at = _known.get(tenant_id, (0.0, 0.0))
    return lag if time.monotonic() - read_at < KNOWN_FOR else 0.0


def find_pause(tenant_id: UUID) -> float:
    """Return how many seconds an answer to this tenant's alerts waits."""
    return min(LONGEST, max(0.0, find_lag(tenant_id) - BEGINS) * PART)


def is_too_far_behind(tenant_id: UUID) -> bool:
    """Return whether the tenant's alerts are refused."""
    return find_lag(tenant_id) >= REFUSED_FROM


def forget() -> None:
    """Forget what was read."""
    with _lock:
        _known.clear()
