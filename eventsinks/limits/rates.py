"""Rates: whether a tenant may do so much now, by token buckets in the broker's Redis that all processes share.

If Redis is away, each process uses its own buckets: a dead Redis refuses nobody, and costs a request nothing.
Emptying Redis fills the buckets.

A busy process takes more tokens than it needs, and gives them out itself for up to a second (HOLD). So most
requests ask nobody. With any number of processes, at most rate * (t + 1) + burst tokens are used in t seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from eventsinks.lib.token_bucket import LUA, BucketAnswer, BucketAsk, TokenBuckets, count_seconds_until
from eventsinks.limits.broker_state import ask_broker, make_key, make_script
from eventsinks.models import Tenant
from eventsinks.models.limits import RATES, get_burst

HOLD = 1.0  # seconds for which a process gives out the tokens that it took
KEYS = 20_000  # buckets that this process remembers

_own = TokenBuckets()
_lock = threading.Lock()
_held: dict[tuple[str, float], HeldTokens] = {}


@dataclass(slots=True)
class HeldTokens:
    """What this process gives out of a bucket until `until`. If `refused` were refused, it gives out none."""

    since: float
    until: float
    left: int = 0
    given: int = 0
    refused: int = 0  # the smallest number that was refused
    free_at: float = 0.0  # when this number is available
    used: int = 0  # how much of the burst was used at the refusal


@dataclass(frozen=True, slots=True)
class TooMuchNow:
    """Too much for now. After `seconds`, a whole number, the request can succeed. `used` of the burst are used."""

    seconds: int
    used: int


def take_tokens(tenant: Tenant, name: str, number: int = 1) -> TooMuchNow | None:
    """Take `number` from the limit `name` of a tenant, all or nothing. Return None if it succeeded."""
    return take_from(make_ask(tenant, name, number), hold=RATES[name].seconds == 1)


def measure_used(tenant: Tenant, names: Sequence[str]) -> list[int]:
    """Return how much of the burst of each of these limits is used now. Take nothing."""
    asks = [make_ask(tenant, name, 0) for name in names]
    return [measure_used_of(ask, answer) for ask, answer in zip(asks, ask_buckets(asks), strict=True)]


def make_ask(tenant: Tenant, name: str, number: int) -> BucketAsk:
    """Return the request to the bucket of one limit."""
    value = getattr(tenant.limits, name)
    return BucketAsk(
        make_key(f"rate:{name}", tenant.id.hex), value / RATES[name].seconds, get_burst(name, value), number
    )


def take_from(ask: BucketAsk, *, hold: bool) -> TooMuchNow | None:
    """Take the tokens of `ask`. With `hold`, take more if this process needs many."""
    now = time.monotonic()
    with _lock:
        found = _held.get((ask.key, ask.per_s))
        if found and found.until > now:
            if found.refused and ask.need >= found.refused:
                more = min(ask.need, ask.burst) - min(found.refused, ask.burst)
                return TooMuchNow(max(1, math.ceil(found.free_at - now + more / ask.per_s)), found.used)
            if found.left >= ask.need:
                found.left -= ask.need
                found.given += ask.need
                return None
    (answer,) = ask_buckets([ask._replace(want=count_wanted(ask, found, now) if hold else ask.need)])
    return note_answer(ask, answer, now)


def count_wanted(ask: BucketAsk, found: HeldTokens | None, now: float) -> int:
    """Return how many tokens to take: the needed ones and the last second's use; more if that was too little."""
    if found is None or now - found.since >= 2 * HOLD:
        return ask.need
    more = found.given if found.until <= now else 2 * found.given
    return ask.need + min(more, int(ask.per_s * HOLD))


def note_answer(ask: BucketAsk, answer: BucketAnswer, now: float) -> TooMuchNow | None:
    """Remember the answer for a second. If nothing was taken, return how long to wait."""
    if answer.taken:
        wait, kept = None, HeldTokens(now, now + HOLD, left=answer.taken - ask.need, given=ask.need)
    else:
        pause = count_seconds_until(ask, answer.left)
        wait = TooMuchNow(max(1, math.ceil(pause)), measure_used_of(ask, answer))
        kept = HeldTokens(now, now + min(pause, HOLD), refused=ask.need, free_at=now + pause, used=wait.used)
    with _lock:
        _held.pop((ask.key, ask.per_s), None)
        if len(_held) >= KEYS:
            _held.pop(next(iter(_held)))
        _held[ask.key, ask.per_s] = kept
    return wait


def measure_used_of(ask: BucketAsk, answer: BucketAnswer) -> int:
    """Return how much of a bucket's burst is used."""
    return max(0, math.ceil(ask.burst) - answer.left)


def ask_buckets(asks: Sequence[BucketAsk]) -> list[BucketAnswer]:
    """Ask the shared buckets, all in one round trip. If Redis can't be reached, ask this process's own buckets."""
    numbers = [number for ask in asks for number in (repr(ask.per_s), repr(ask.burst), ask.need, ask.want)]
    keys = [ask.key for ask in asks]
    said: list[int] | None = ask_broker(lambda client: make_script(LUA)(keys=keys, args=numbers, client=client))
    if said is None:
        return _own.take(asks, time.monotonic())
    return [BucketAnswer(*pair) for pair in zip(said[::2], said[1::2], strict=True)]


def forget() -> None:
    """Forget all the tokens and answers that this process holds."""
    with _lock:
        _held.clear()
    _own.clear()
