"""The last 24 hours, from the counts: the chart, how long deliveries took, and how the backlog moves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.utils.safestring import SafeString

from eventsinks.actions.obstacles import MOST_COUNTED
from eventsinks.admin.parts import charts, marks
from eventsinks.models import Tenant
from eventsinks.models.counting import ENDED, What
from eventsinks.models.counting.read import Sums, count_waiting, find_first_slot, sum_by_slot, sum_times
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import count_open, find_sinks_with_open
from eventsinks.models.destination import Destination

SHARES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours of one tenant or of all."""

    chart: SafeString
    totals: list[tuple[str, str, str]]  # class of a colour, word, number
    times: list[tuple[str, list[tuple[str, str]]]]  # what, and its percentiles
    trend: str
    waiting: int  # now, whenever it was accepted
    oldest: str  # for how long the oldest of them has waited at most: slots have ten minutes


def read_day(tenant: Tenant | None) -> Day:
    """Read the last 24 hours. It reads counts, and counts the open deliveries."""
    now = read_database_clock()
    since, tenant_id = find_first_slot(now), tenant.id if tenant else None
    slots, times = sum_by_slot(since, tenant_id), sum_times(since, tenant_id)
    sums: Counter[str] = Counter()
    for one in slots.values():
        sums.update(one)
    waiting = count_waiting_now(tenant)
    hours = charts.sum_hours(slots, now.timestamp())
    lately = count_waiting(hours[-1])
    still = [slot for slot, one in slots.items() if count_waiting(one) > 0]
    oldest = f"up to {marks.write_span(now.timestamp() - min(still))}" if still else "a moment"
    if waiting > sum(max(count_waiting(one), 0) for one in slots.values()):
        oldest = "more than a day"
    words = [(What.ACCEPTED, "accepted"), *[(state, state) for state in ENDED]]
    return Day(
        chart=charts.draw_stack(hours),
        totals=[(what, word, f"{sums[what]:,}") for what, word in words]
        + [("pending", "waiting", f"{waiting:,}")],
        times=[
            ("Acceptance to first try", list_percentiles(times, What.FIRST)),
            ("Acceptance to delivery", list_percentiles(times, What.DONE)),
        ],
        trend=f"{lately:,} of them came in the last hour" if waiting else "No backlog",
        waiting=waiting,
        oldest=oldest,
    )


def count_waiting_now(tenant: Tenant | None) -> int:
    """Return how many deliveries are open, at most MOST_COUNTED of each sink."""
    ids = find_sinks_with_open()
    if tenant:
        ids = list(Destination.objects.filter(id__in=ids, tenant=tenant).values_list("id", flat=True))
    return sum(count_open(ids, MOST_COUNTED).values())


def list_percentiles(sums: Sums, what: str) -> list[tuple[str, str]]:
    """Return the percentiles of a duration, in words."""
    return [(name, write_bound(charts.find_percentile(sums, what, share))) for share, name in SHARES]


def write_bound(bound: float | None) -> str:
    """Return the upper bound of a percentile."""
    if bound is None:
        return "–"
    if bound == float("inf"):
        return "> 10 h"
    return f"≤ {bound * 1000:.0f} ms" if bound < 1 else f"≤ {marks.write_span(bound)}"
