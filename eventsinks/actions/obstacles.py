"""Obstacles: what prevents a delivery from being sent now.

Explain, the admin, the API and the metrics all use this rule. The claim's SQL has the same rule
(`find_due_lanes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from eventsinks.models import Delivery, Destination
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import DeliveryState, count_ahead, count_open, find_before, find_sinks_with_open
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import Breaker
from eventsinks.sending.judge import get_max_tries

MOMENTS = timedelta(seconds=5)  # after this time a due delivery is late,
UNCLAIMED_AFTER = timedelta(seconds=60)  # and after this time no worker seems to run
FEW = 100  # deliveries that are sent within moments
MOST_COUNTED = 10_000  # deliveries of one sink


class Obstacle(StrEnum):
    """What prevents the sending. If there are several, the first one in this order counts."""

    DELETED = "deleted"
    RESUMING = "resuming"
    PAUSED = "paused"
    PARKED = "parked"
    BREAKER = "breaker"  # its breaker is open
    HELD = "held"  # the far end asked for a pause
    EARLIER = "earlier"  # an earlier delivery of its line
    LATER = "later"  # the next try is later
    NO_TRIES = "no_tries"  # the retry schedule has become shorter
    PROBES = "probes"  # its breaker is half-open, and the probes are under way
    RAMP = "ramp"  # its breaker has just closed: the backlog is sent slowly at first
    RATE_LIMIT = "rate_limit"  # of the event sink
    TURN = "turn"  # the rate key is in use
    QUEUE = "queue"  # other deliveries of its sink are due before it
    UNCLAIMED = "unclaimed"  # nothing prevents it, but no worker claims it


@dataclass(frozen=True, slots=True)
class Wait:
    """One obstacle: until when (if known), the delivery that it waits for, or the number ahead of it."""

    obstacle: Obstacle
    until: datetime | None = None
    first: Delivery | None = None
    ahead: int = 0


STATES = {
    DestinationState.RESUMING: Obstacle.RESUMING,
    DestinationState.PAUSED: Obstacle.PAUSED,
    DestinationState.PARKED: Obstacle.PARKED,
}


def find_obstacle(delivery: Delivery) -> Wait | None:
    """Return what a pending delivery waits for. Return None if a worker claims it within moments."""
    sink, now = delivery.destination, estimate_database_clock()
    if found := find_obstacle_of_sink(sink):
        return found
    if delivery.is_behind:
        return Wait(Obstacle.EARLIER, first=find_before(delivery))
    if delivery.due_at > now:
        return Wait(Obstacle.LATER, delivery.due_at)
    if delivery.tries >= get_max_tries():
        return Wait(Obstacle.NO_TRIES)
    if found := find_brief_obstacle(sink):
        return found
    ahead = count_ahead(delivery, MOST_COUNTED)
    if ahead > FEW or (ahead and delivery.due_at < now - MOMENTS):
        return Wait(Obstacle.QUEUE, ahead=ahead)
    return Wait(Obstacle.UNCLAIMED) if not ahead and delivery.due_at < now - UNCLAIMED_AFTER else None


def find_obstacle_of_sink(sink: Destination) -> Wait | None:
    """Return what stops all sending to a sink for longer than a moment."""
    if sink.deleted_at:
        return Wait(Obstacle.DELETED)
    if (state := DestinationState(sink.state)) in STATES:
        return Wait(STATES[state])
    if sink.held_until and sink.held_until > estimate_database_clock():
        return Wait(Obstacle.BREAKER if sink.breaker == Breaker.OPEN else Obstacle.HELD, sink.held_until)
    return None


def find_brief_obstacle(sink: Destination) -> Wait | None:
    """Return what stops the next message to a sink for a moment, because one was just sent."""
    now = estimate_database_clock()
    if sink.breaker == Breaker.HALF_OPEN and not sink.probes and sink.breaker_at and sink.breaker_at > now:
        return Wait(Obstacle.PROBES, sink.breaker_at)
    if sink.limited_until and sink.limited_until > now:
        ramp = sink.breaker == Breaker.RAMP
        return Wait(Obstacle.RAMP if ramp else Obstacle.RATE_LIMIT, sink.limited_until)
    if sink.paced_until and sink.paced_until > now:
        return Wait(Obstacle.TURN, sink.paced_until)
    return None


def count_by_obstacle() -> Mapping[str, int]:
    """Return the number of open deliveries by the obstacle of their sink; "none" counts those without one.

    At most MOST_COUNTED are counted for each sink.
    """
    counts: Counter[str] = Counter()
    open_at = count_open(find_sinks_with_open(), MOST_COUNTED)
    for sink in Destination.objects.filter(id__in=open_at):
        found = find_obstacle_of_sink(sink)
        counts[found.obstacle if found else "none"] += open_at[sink.id]
    return counts


def write_clock(moment: datetime) -> str:
    """Return a moment in a form for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


WORDS = {
    Obstacle.DELETED: " to be suppressed: the event sink was deleted",
    Obstacle.RESUMING: ": the event sink is resuming; what it skips is suppressed first",
    Obstacle.PAUSED: " until somebody resumes the event sink, which is paused",
    Obstacle.PARKED: " until somebody repairs the event sink, which is disabled: {why}",
    Obstacle.BREAKER: " until {until}, when it is tried again: too much failed at the event sink: {trouble}",
    Obstacle.HELD: " until {until}: the far end asked for a pause",
    Obstacle.EARLIER: " for {earlier}",
    Obstacle.LATER: " for {number} at {until}{reason}",
    Obstacle.NO_TRIES: ": it has no tries left, and is given up within moments",
    Obstacle.PROBES: ": too much failed at the event sink, and a few others are tried first",
    Obstacle.RAMP: ": the event sink works again, and gets what waits slowly at first",
    Obstacle.RATE_LIMIT: ": the event sink is sent at most {rate:g} messages a second",
    Obstacle.TURN: ": another message is being sent to the same place, which takes one at a time",
    Obstacle.QUEUE: ": {ahead} of the same event sink are due before it",
    Obstacle.UNCLAIMED: ": it has been due since {due}, and no worker has taken it",
}


def describe_obstacle(
    delivery: Delivery, wait: Wait | None, clock: Callable[[datetime], str] = write_clock
) -> str:
    """Return what a pending delivery waits for, in words that follow "waits"."""
    number = f"try {delivery.tries + 1} of {get_max_tries()}" if delivery.tries else "its first try"
    reason = f": {delivery.reason}" if delivery.tries and delivery.reason else ""
    if wait is None:
        return f" for {number}{reason}"
    sink, most = delivery.destination, "at least " if wait.ahead >= MOST_COUNTED else ""
    return WORDS[wait.obstacle].format(
        why=sink.state_reason,
        trouble=sink.trouble_reason,
        until=clock(wait.until) if wait.until else "",
        earlier=describe_earlier(delivery, wait.first) if wait.obstacle == Obstacle.EARLIER else "",
        number=number,
        reason=reason,
        rate=sink.rate_limit_per_s or 0,
        ahead=f"{most}{wait.ahead:,}",
        due=clock(delivery.due_at),
    )


def describe_earlier(delivery: Delivery, first: Delivery | None) -> str:
    """Return which earlier delivery it waits for, and what a person can do about it."""
    if first is None:
        return "its turn, which comes at once"
    what = "alert of the same incident" if delivery.destination.orders_incidents else "event in the same order"
    failed = ", which failed: replay or skip it" if first.state == DeliveryState.FAILED else ""
    return f"an earlier {what} (delivery {first.id}){failed}"
