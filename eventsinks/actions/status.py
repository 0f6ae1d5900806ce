"""Status: one word that says how a destination is. The API, the admin and the metrics use this rule.

Two statements of it stand side by side: `find_status` for a row that was read, and `status_condition` for a
query. A test compares them. The words differ from those of the state: a destination that the service itself has
stopped is `disabled` (its state is `parked`), and an active one may be failing, open or held.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Now

from eventsinks.models import Destination
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import Breaker, Trouble


class DestinationStatus(StrEnum):
    """How a destination that is not deleted is, the worst first."""

    DISABLED = "disabled"  # the service stopped it: the far end refuses everything until somebody repairs it
    OPEN = "open"  # its breaker is open or half-open: so much fails that little or nothing is sent for now
    FAILING = "failing"  # it sends, and about half of it fails, or more
    HELD = "held"  # the far end asked for a pause, which ends by itself
    RESUMING = "resuming"  # it sends again as soon as the backlog that it skips is suppressed
    PAUSED = "paused"  # a person stopped it
    ACTIVE = "active"  # it sends, and that works


LABELS: Mapping[DestinationStatus, str] = {
    DestinationStatus.DISABLED: "Disabled",
    DestinationStatus.OPEN: "Breaker open",
    DestinationStatus.FAILING: "Failing",
    DestinationStatus.HELD: "Held",
    DestinationStatus.RESUMING: "Resuming",
    DestinationStatus.PAUSED: "Paused",
    DestinationStatus.ACTIVE: "Active",
}
BY_STATE = {
    DestinationState.PARKED: DestinationStatus.DISABLED,
    DestinationState.PAUSED: DestinationStatus.PAUSED,
    DestinationState.RESUMING: DestinationStatus.RESUMING,
}
STOPPED = (Breaker.OPEN, Breaker.HALF_OPEN)


def find_status(destination: Destination) -> DestinationStatus:
    """Return the status of a destination that is not deleted."""
    if (state := DestinationState(destination.state)) in BY_STATE:
        return BY_STATE[state]
    if destination.breaker in STOPPED:
        return DestinationStatus.OPEN
    if destination.trouble >= Trouble.FAILING:
        return DestinationStatus.FAILING
    held = destination.held_until and destination.held_until > estimate_database_clock()
    return DestinationStatus.HELD if held else DestinationStatus.ACTIVE


def status_condition(status: DestinationStatus) -> Q:
    """Return the condition for the destinations with this status."""
    for state, word in BY_STATE.items():
        if word is status:
            return Q(state=state)
    active, stopped = Q(state=DestinationState.ACTIVE), Q(breaker__in=STOPPED)
    failing, held = Q(trouble__gte=Trouble.FAILING), Q(held_until__isnull=False, held_until__gt=Now())
    return {
        DestinationStatus.OPEN: active & stopped,
        DestinationStatus.FAILING: active & ~stopped & failing,
        DestinationStatus.HELD: active & ~stopped & ~failing & held,
        DestinationStatus.ACTIVE: active & ~stopped & ~failing & ~held,
    }[status]


def make_rank() -> Case:
    """Return the expression that sorts destinations by their status, the worst first."""
    ranks = [When(status_condition(status), then=Value(rank)) for rank, status in enumerate(DestinationStatus)]
    return Case(*ranks, default=Value(len(ranks)), output_field=IntegerField())


def count_by_status(destinations: QuerySet[Destination]) -> dict[str, int]:
    """Return how many of some destinations have each status, in one query."""
    counts = {str(status): Count("id", filter=status_condition(status)) for status in DestinationStatus}
    return destinations.order_by().aggregate(**counts)


class Failing(NamedTuple):
    """Since when a destination fails (None: it does not), and the last failure in words for people."""

    failing_since: datetime | None
    failing_reason: str


def explain_failing(destination: Destination) -> Failing:
    """Return since when a destination has been failing or open, and why."""
    if find_status(destination) in (DestinationStatus.OPEN, DestinationStatus.FAILING):
        return Failing(destination.trouble_since, destination.trouble_reason)
    return Failing(None, "")
