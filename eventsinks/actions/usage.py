"""Usage: the limits of a tenant, and how much of each it uses now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventsinks.intake import backlog
from eventsinks.limits import rates, refusals, trials
from eventsinks.limits.quotas import HAS
from eventsinks.models import Destination, Tenant
from eventsinks.models.limits import NAMES, RATES, get_burst


@dataclass(frozen=True, slots=True)
class Used:
    """One limit. For a rate, `used` is the used part of its burst. `refused` counts since the usage's `since`."""

    name: str
    limit: int
    used: int
    refused: int
    per_seconds: int | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """All limits of a tenant. `since`: when the counting of refusals began, None if there were none."""

    limits: tuple[Used, ...]
    since: datetime | None


def measure_usage(tenant: Tenant) -> Usage:
    """Return what a tenant uses now."""
    refused, since = refusals.count_refusals(tenant.id)
    rated = dict(zip(RATES, rates.measure_used(tenant, list(RATES)), strict=True))
    return Usage(tuple(measure_limit(tenant, name, rated, refused.get(name, 0)) for name in NAMES), since)


def measure_limit(tenant: Tenant, name: str, rated: dict[str, int], refused: int) -> Used:
    """Return the use of one limit. `rated` has the use of the rates."""
    limit = getattr(tenant.limits, name)
    if name in RATES:
        return Used(name, limit, rated[name], refused, RATES[name].seconds, get_burst(name, limit))
    return Used(name, limit, LOOKED_AT[name](tenant) if name in LOOKED_AT else HAS[name](tenant), refused)


def count_longest_backlog(tenant: Tenant) -> int:
    """Return how many deliveries wait at the event sink with the longest backlog."""
    sinks = Destination.objects.of(tenant).sinks().values_list("id", flat=True)
    return max(backlog.count_waiting(tenant, list(sinks)).values(), default=0)


LOOKED_AT = {"pending_per_sink": count_longest_backlog, "tests_at_once": trials.count_under_way}
