"""Rates: whether a tenant may do so much now. One bucket for all processes, in the broker's Redis.

Where Redis is away each process goes by buckets of its own: nobody is refused because Redis is down, and a dead
one costs a request nothing. Emptying Redis fills the buckets.

A busy process takes more than it needs at once, and gives that out itself for up to a second (HOLD), so that most
requests ask nobody. However many processes there are, in t seconds at most the rate times t + 1, and the burst,
go through.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from eventsinks.lib.token_bucket import LUA, Answer, Ask, TokenBuckets, seconds_until
from eventsinks.limits.broker_state import key_of, script, shared
from eventsinks.models import Tenant
from eventsinks.models.limits import RATES, burst_of

HOLD = 1.0  # seconds for which a process gives out what it took
KEYS = 20_000  # of what this process holds or was refused

_own = TokenBuckets()
_lock = threading.Lock()
_held: dict[tuple[str, float], Held] = {}


@dataclass(slots=True)
class Held:
    """What this process gives out of a bucket until `until`; or, where it was refused `refused`, nothing."""

    since: float
    until: float
    left: int = 0
    given: int = 0
    refused: int = 0  # the least that was refused
    free_at: float = 0.0  # when that goes through
    used: int = 0  # of the burst, when it was refused


@dataclass(frozen=True, slots=True)
class Wait:
    """It is too much for now: after `seconds`, a whole number, it goes through. `used` of the burst are used."""

    seconds: int
    used: int


def take(tenant: Tenant, name: str, number: int = 1) -> Wait | None:
    """Take `number` from the limit `name` of a tenant, all or nothing. Return None where that may be."""
    return take_from(ask_of(tenant, name, number), hold=RATES[name].seconds == 1)


def used(tenant: Tenant, names: Sequence[str]) -> list[int]:
    """Return how much of the burst of each of these limits is used now; takes nothing."""
    asks = [ask_of(tenant, name, 0) for name in names]
    return [used_of(ask, answer) for ask, answer in zip(asks, asked(asks), strict=True)]


def ask_of(tenant: Tenant, name: str, number: int) -> Ask:
    """Return what is asked of the bucket of one limit."""
    value = getattr(tenant.limits, name)
    return Ask(key_of(f"rate:{name}", tenant.id.hex), value / RATES[name].seconds, burst_of(name, value), number)


def take_from(ask: Ask, *, hold: bool) -> Wait | None:
    """Take what is asked. With `hold`, this process takes more at once where it needs more."""
    now = time.monotonic()
    with _lock:
        found = _held.get((ask.key, ask.per_s))
        if found and found.until > now:
            if found.refused and ask.need >= found.refused:
                more = min(ask.need, ask.burst) - min(found.refused, ask.burst)
                return Wait(max(1, math.ceil(found.free_at - now + more / ask.per_s)), found.used)
            if found.left >= ask.need:
                found.left -= ask.need
                found.given += ask.need
                return None
    (answer,) = asked([ask._replace(want=wanted(ask, found, now) if hold else ask.need)])
    return noted(ask, answer, now)


def wanted(ask: Ask, found: Held | None, now: float) -> int:
    """Return how many to take: what is needed, and what went in the last second; more where that was too few."""
    if found is None or now - found.since >= 2 * HOLD:
        return ask.need
    more = found.given if found.until <= now else 2 * found.given
    return ask.need + min(more, int(ask.per_s * HOLD))


def noted(ask: Ask, answer: Answer, now: float) -> Wait | None:
    """Remember what came of it, for a second; return how long to wait where nothing was given."""
    if answer.taken:
        wait, kept = None, Held(now, now + HOLD, left=answer.taken - ask.need, given=ask.need)
    else:
        pause = seconds_until(ask, answer.left)
        wait = Wait(max(1, math.ceil(pause)), used_of(ask, answer))
        kept = Held(now, now + min(pause, HOLD), refused=ask.need, free_at=now + pause, used=wait.used)
    with _lock:
        _held.pop((ask.key, ask.per_s), None)
        if len(_held) >= KEYS:
            _held.pop(next(iter(_held)))
        _held[ask.key, ask.per_s] = kept
    return wait


def used_of(ask: Ask, answer: Answer) -> int:
    """Return how much of a bucket's burst is used."""
    return max(0, math.ceil(ask.burst) - answer.left)


def asked(asks: Sequence[Ask]) -> list[Answer]:
    """Ask the shared buckets, all in one round trip; this process's own where they can't be reached."""
    numbers = [number for ask in asks for number in (repr(ask.per_s), repr(ask.burst), ask.need, ask.want)]
    keys = [ask.key for ask in asks]
    said: list[int] | None = shared(lambda client: script(LUA)(keys=keys, args=numbers, client=client))
    if said is None:
        return _own.take(asks, time.monotonic())
    return [Answer(*pair) for pair in zip(said[::2], said[1::2], strict=True)]


def forget() -> None:
    """Forget everything that this process holds and knows."""
    with _lock:
        _held.clear()
    _own.clear()
