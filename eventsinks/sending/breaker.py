"""Breaker: decides from a window of tries whether a destination is failing, and whether it gets anything now.

closed     everything is sent. About half of the tries fail: it is failing. So many fail for so long: it opens.
open       nothing is sent until `held_until`; the backlog stays, and no delivery loses a try.
half-open  PROBES deliveries are sent. Half of them fail: it opens again, for longer. More arrive: the ramp begins.
ramp       the backlog is sent at a rate that doubles every few seconds. After RAMP seconds it is closed.

A destination that works costs nothing here: its first failure begins the window. All processes share the window,
because it is in the destination's row. This file is the rule; health.py reads and writes the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from eventsinks.models import Destination
from eventsinks.models.health import Breaker, Trouble

WINDOW = 300.0  # seconds of tries that count; Convoy's window is as long
IN_A_ROW = 3  # failures without a success between them are failing: the tries of one alert are enough
SHARE_OF = 10  # of at least so many tries, half are failing too: a success now and then does not hide it
FAILING_AFTER = 60.0  # seconds since the first failure; a restart of the far end is no trouble
WELL_AFTER = 60.0  # seconds without a failure, and then a success, are well again,
WELL_SHARE = 5  # or at least SHARE_OF tries of which at most one in so many failed
# It opens after so many tries, of which half were faults (as with resilience4j; Convoy says 70 %). One alert an
# hour never makes 20 tries in a window. A stream has one batch in flight, so its tries are few.
LEAST_TRIES = {"event_sink": 20, "integration": 5}
OPEN_AFTER = 120.0  # seconds since the first failure; one slow minute opens nothing
PROBES = {"event_sink": 5, "integration": 1}  # a probe of a stream is a batch
FIRST_PAUSE = 30.0  # seconds for which it opens; doubled each time, as Envoy does,
LONGEST_PAUSE = 300.0  # up to this, which is also a stream's longest pause
RAMP = 60.0  # seconds until it is closed
RAMP_FIRST = 5.0  # messages a second when the ramp begins,
RAMP_STEP = 5.0  # and twice as many after each of so many seconds: 20,000 a second at its end
RAMP_LEAST = 5  # tries of a ramp; if half of so many fail, it opens again
BUSY = 429


@dataclass(slots=True)
class Tally:
    """Some tries of one destination, and how they ended.

    `faulted`: no answer, or one of trouble. `refused`: the far end is there, but did not take it. `doubted`: it
    refused the credentials, so it will be disabled if that goes on.
    """

    taken: int = 0
    refused: int = 0
    faulted: int = 0
    doubted: bool = False
    reason: str = ""

    @property
    def failed(self) -> int:
        """The tries that did not deliver."""
        return self.refused + self.faulted


def weigh(row: Destination, tally: Tally, now: datetime, *, probes: bool = False) -> None:
    """Change the columns of `row` to what they are after these tries. `probes`: a half-open breaker let them out.

    What was under way when the breaker opened says nothing new, so it does not count.
    """
    if row.breaker == Breaker.OPEN or probes != (row.breaker == Breaker.HALF_OPEN):
        return
    forget_old(row, now)
    long_well = row.failed_at is None or row.failed_at <= now - timedelta(seconds=WELL_AFTER)
    row.taken += tally.taken
    row.refused += tally.refused
    row.faulted += tally.faulted
    if tally.failed:
        row.trouble_since = row.trouble_since or now
        row.failed_at, row.trouble_reason = now, tally.reason
    row.failed_in_a_row = tally.failed + (0 if tally.taken else row.failed_in_a_row)
    if row.breaker == Breaker.HALF_OPEN:
        weigh_probes(row, now)
    elif row.breaker == Breaker.RAMP:
        weigh_ramp(row, now)
    elif is_well(row, tally, long_well=long_well):
        forget_trouble(row, now)
    else:
        weigh_window(row, tally, now)


def forget_old(row: Destination, now: datetime) -> None:
    """Let older tries count less: half after a window, not at all after two."""
    age = (now - row.window_at).total_seconds() if row.window_at else 2 * WINDOW
    if row.breaker != Breaker.CLOSED or age < WINDOW:
        return
    share = 0 if age >= 2 * WINDOW else 2
    for name in ("taken", "refused", "faulted"):
        setattr(row, name, getattr(row, name) // share if share else 0)
    row.window_at = now - timedelta(seconds=WINDOW / 2 if share else 0)


def is_well(row: Destination, tally: Tally, *, long_well: bool) -> bool:
    """Return whether a closed destination works: nothing failed for a while, or little of much."""
    failed, tries = row.refused + row.faulted, row.taken + row.refused + row.faulted
    if tally.taken and not tally.failed and long_well:
        return True
    return tries >= SHARE_OF and failed * WELL_SHARE <= tries


def forget_trouble(row: Destination, now: datetime) -> None:
    """End the episode. What was told stays, so that the end is told too."""
    set_trouble(row, Trouble.NONE, now)
    row.trouble_since = row.failed_at = row.window_at = None
    row.taken = row.refused = row.faulted = row.failed_in_a_row = 0
    row.trouble_reason = ""


def weigh_window(row: Destination, tally: Tally, now: datetime) -> None:
    """Decide whether a closed destination is failing, and whether it opens."""
    tries = row.taken + row.refused + row.faulted
    lasted = (now - row.trouble_since).total_seconds() if row.trouble_since else 0.0
    many = row.failed_in_a_row >= IN_A_ROW or (tries >= SHARE_OF and has_half_failed(row.taken, tries))
    if tally.doubted or (many and lasted >= FAILING_AFTER):
        set_trouble(row, max(Trouble(row.trouble), Trouble.FAILING), now)
    enough = tries >= LEAST_TRIES[row.kind.face] and lasted >= OPEN_AFTER
    if row.trouble and enough and row.faulted * 2 >= tries:
        open_breaker(row, now)


def has_half_failed(taken: int, tries: int) -> bool:
    """Return whether at least half of the tries failed."""
    return taken * 2 <= tries


def weigh_probes(row: Destination, now: datetime) -> None:
    """Decide by the probes whether a half-open breaker opens again or begins the ramp. A refusal is an answer."""
    most = PROBES[row.kind.face] // 2 + 1
    if row.faulted >= most:
        open_breaker(row, now)
    elif row.taken + row.refused >= most:
        begin_ramp(row, now)


def weigh_ramp(row: Destination, now: datetime) -> None:
    """Open again if the far end fails in its ramp; close when it is over."""
    tries = row.taken + row.refused + row.faulted
    if tries >= RAMP_LEAST and row.faulted * 2 >= tries:
        open_breaker(row, now)
    elif row.breaker_at is None or row.breaker_at <= now - timedelta(seconds=RAMP):
        row.breaker, row.breaker_at, row.times_opened = Breaker.CLOSED, None, 0


def open_breaker(row: Destination, now: datetime) -> None:
    """Send nothing for a while: longer each time."""
    pause = timedelta(seconds=min(FIRST_PAUSE * 2 ** min(row.times_opened, 10), LONGEST_PAUSE))
    row.breaker, row.breaker_at, row.probes = Breaker.OPEN, None, 0
    row.times_opened = min(row.times_opened + 1, 1000)
    row.held_until = max(now + pause, row.held_until or now)
    row.trouble_since = row.trouble_since or now
    set_trouble(row, Trouble.OPEN, now)


def begin_ramp(row: Destination, now: datetime) -> None:
    """Send again, first slowly. It works, so it is in trouble no more."""
    forget_trouble(row, now)
    row.breaker, row.breaker_at, row.probes = Breaker.RAMP, now, 0


def set_trouble(row: Destination, trouble: Trouble, now: datetime) -> None:
    """Set how bad it is, and since when if that is new."""
    if row.trouble != trouble:
        row.trouble, row.trouble_at = trouble, now


def give_out_probes(row: Destination, wanted: int, now: datetime, round_seconds: float) -> int:
    """Give out at most `wanted` probes of an open or half-open breaker. Return how many.

    PROBES are given out, all processes together. If they decide nothing within `round_seconds`, because a worker
    died or nothing was due, those that are missing are given out once more.
    """
    if row.breaker == Breaker.OPEN:
        row.breaker, row.breaker_at = Breaker.HALF_OPEN, None
        row.taken = row.refused = row.faulted = 0
    if row.breaker != Breaker.HALF_OPEN:
        return 0
    if row.breaker_at is None or row.breaker_at <= now:
        row.probes = PROBES[row.kind.face] - (row.taken + row.refused + row.faulted)
        row.breaker_at = now + timedelta(seconds=round_seconds)
    given = min(wanted, row.probes)
    row.probes -= given
    return given


def get_ramp_rate(seconds: float) -> float:
    """Return how many messages a second go out so many seconds after the ramp began. 0 is without a limit."""
    return 0.0 if seconds >= RAMP else RAMP_FIRST * 2 ** (max(seconds, 0.0) // RAMP_STEP)


def get_ramp_share(seconds: float) -> int:
    """Return how many requests a batch may take so many seconds after the ramp began."""
    return 1 << int(min(max(seconds, 0.0), RAMP) // RAMP_STEP)
