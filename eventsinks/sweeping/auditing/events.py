"""Events: compares those of a stretch of ids with the counts, by tenant."""

from __future__ import annotations

import logging

from eventsinks.models import Event, Finding
from eventsinks.models.counting import STRETCH, What, add, find_stretch
from eventsinks.models.database import sql
from eventsinks.sweeping.auditing import compare

log = logging.getLogger(__name__)

# The sums agree nearly always. They need only the primary key; the rows of events are large.
TOTALS = f"""
    SELECT (SELECT count(*) FROM eventsinks_event WHERE id >= %s AND id < %s),
        (SELECT coalesce(sum(n), 0) FROM {compare.TOLD} AS told WHERE what = '{What.EVENT}' AND slot = %s)"""
DIFFERENCES = f"""
    SELECT tenant_id, sum(rows_n), sum(told_n) FROM (
        SELECT tenant_id, count(*) AS rows_n, 0 AS told_n FROM eventsinks_event
        WHERE id >= %s AND id < %s GROUP BY 1
        UNION ALL SELECT tenant_id, 0, n FROM {compare.TOLD} AS told
        WHERE what = '{What.EVENT}' AND slot = %s) AS both_sides
    GROUP BY 1 HAVING sum(rows_n) <> sum(told_n)"""


def find_next(slot: int) -> int | None:
    """Return the first stretch with events, from `slot` on."""
    first = Event.objects.filter(id__gte=slot).order_by("id").values_list("id", flat=True).first()
    found = [] if first is None else [find_stretch(first)]
    return min([*found, *compare.find_counted((What.EVENT,), slot)], default=None)


def find_end() -> int:
    """Return the stretch of the newest event."""
    return find_stretch(Event.objects.order_by("-id").values_list("id", flat=True).first() or 0)


def check_stretch(slot: int) -> int:
    """Compare one stretch. Return how many events are missing. They are reported."""
    bounds = [slot, slot + STRETCH, slot]
    ((here, told),) = sql.fetch_rows(TOTALS, bounds)
    if here == told:
        return 0
    lost = 0
    for id, here, told in sql.fetch_rows(DIFFERENCES, bounds):
        tenant, missing = sql.read_id(id), int(told) - int(here)
        if missing > 0:
            lost += missing
            detail = f"{missing} of the events with ids from {slot} to {slot + STRETCH - 1} were deleted"
            Finding.objects.create(kind="event", tenant_id=tenant, slot=slot, missing=missing, detail=detail)
            log.error("the audit found: %s (tenant %s)", detail, tenant)
        add({(tenant, 0, What.EVENT, slot): -missing})
    return lost
