"""Token buckets: limits on rate and burst, in Python for one process and in Lua for all processes together."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

ENOUGH = 1e-6  # tokens that rounding may lose
BUCKETS = 10_000  # of one process; it forgets the one that was not used for the longest time


class BucketAsk(NamedTuple):
    """A request for tokens of one bucket: it takes `need` or nothing, and up to `want` if there are plenty.

    A request larger than `burst` succeeds when the bucket is full. The bucket then owes the rest, so a large
    request waits for a time and not for ever. A `need` of 0 only looks.
    """

    key: str
    per_s: float
    burst: float
    need: int
    want: int = 0


class BucketAnswer(NamedTuple):
    """How many were taken, and how many whole tokens are left."""

    taken: int
    left: int


# Answers each of KEYS. ARGV holds per_s, burst, need and want of each in turn. A bucket that is not there is full.
LUA = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local per_s, burst = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local need, want = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local tokens, taken = burst, 0
  local kept = redis.call('GET', key)
  if kept then
    local left, at = string.match(kept, '^(%S+) (%S+)$')
    tokens = math.min(burst, tonumber(left) + math.max(0, now - tonumber(at)) * per_s / 1000000)
  end
  if need > 0 and tokens + 0.000001 >= math.min(need, burst) then
    local plenty = math.floor(tokens - need - burst / 8)
    taken = need + math.max(0, math.min(want - need, plenty))
    tokens = tokens - taken
    local full_in = math.ceil((burst - tokens) / per_s * 1000) + 1000
    redis.call('SET', key, string.format('%.6f %.0f', tokens, now), 'PX', string.format('%.0f', full_in))
  end
  answers[2 * i - 1], answers[2 * i] = taken, math.floor(tokens + 0.000001)
end
return answers
"""


class TokenBuckets:
    """Token buckets of this process. Threads may share them."""

    def __init__(self) -> None:
        # The tokens that a bucket had, and the moment.
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, asks: Sequence[BucketAsk], now: float) -> list[BucketAnswer]:
        """Answer each of `asks` at the moment `now`, in seconds of a clock that never goes back."""
        with self._lock:
            return [self._answer(ask, now) for ask in asks]

    def clear(self) -> None:
        """Make every bucket full."""
        with self._lock:
            self._kept.clear()

    def _answer(self, ask: BucketAsk, now: float) -> BucketAnswer:
        left, at = self._kept.get(ask.key, (ask.burst, now))
        tokens, taken = min(ask.burst, left + max(0.0, now - at) * ask.per_s), 0
        if ask.need and tokens + ENOUGH >= min(ask.need, ask.burst):
            plenty = math.floor(tokens - ask.need - ask.burst / 8)
            taken = ask.need + max(0, min(ask.want - ask.need, plenty))
            tokens -= taken
            self._kept[ask.key] = tokens, now
            self._kept.move_to_end(ask.key)
            if len(self._kept) > BUCKETS:
                self._kept.popitem(last=False)
        return BucketAnswer(taken, math.floor(tokens + ENOUGH))


def count_seconds_until(ask: BucketAsk, left: int) -> float:
    """Return the seconds until a bucket with `left` tokens can grant the request."""
    return max(0.0, (min(ask.need, ask.burst) - left) / ask.per_s)
