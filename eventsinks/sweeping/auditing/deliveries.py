"""Deliveries: compares those of a slot with the counts, by destination and state."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from eventsinks.models import Delivery, Destination, Finding
from eventsinks.models.counting import ENDED, GRAIN, NOBODY, What, add, find_slot, first_id_of
from eventsinks.models.database import sql
from eventsinks.sweeping.auditing import compare

log = logging.getLogger(__name__)

WHATS = (What.ACCEPTED, *ENDED)

DIFFERENCES = f"""
    WITH here AS (
        SELECT destination_id, state, count(*) AS n FROM eventsinks_delivery
        WHERE id >= %s AND id < %s GROUP BY 1, 2),
    both_sides AS (
        SELECT destination_id, 'accepted' AS what, n AS rows_n, 0 AS told_n FROM here
        UNION ALL SELECT destination_id, state, n, 0 FROM here WHERE state NOT IN ('pending', 'sending')
        UNION ALL SELECT destination_id, what, 0, n FROM {compare.TOLD} AS told
        WHERE slot = %s AND what IN ({", ".join(["%s"] * len(WHATS))}))
    SELECT destination_id, what, sum(rows_n), sum(told_n) FROM both_sides
    GROUP BY 1, 2 HAVING sum(rows_n) <> sum(told_n)"""


def find_next(slot: int) -> int | None:
    """Return the first slot with deliveries, from `slot` on."""
    later = Delivery.objects.filter(id__gte=first_id_of(slot)).order_by("id")
    first = later.values_list("id", flat=True).first()
    found = [] if first is None else [find_slot(first)]
    return min([*found, *compare.find_counted((What.ACCEPTED,), slot)], default=None)


def check_slot(slot: int) -> int:
    """Compare one slot. Return how many deliveries are missing. They are reported.

    After that the counts say what the rows say: so they also learn of what an old process wrote, and of what was
    there before there were counts.
    """
    bounds = [sql.convert_id(first_id_of(at)) for at in (slot, slot + GRAIN)]
    rows = sql.fetch_rows(DIFFERENCES, [*bounds, slot, *WHATS])
    sinks = Destination.objects.in_bulk({sink for sink, *_ in rows})
    lost = 0
    for id, what, here, told in sorted(rows):
        sink, missing = sinks.get(id), int(told) - int(here)
        add({(sink.tenant_id if sink else NOBODY, id, what, slot): -missing})
        if (
            what == What.ACCEPTED and missing > 0 and sink
        ):  # without a sink: its tenant was deleted with all it had
            lost += missing
            report(sink, slot, missing)
    return lost


def report(sink: Destination, slot: int, missing: int) -> None:
    """Record what is missing at a destination, and log it."""
    begin = f"{datetime.fromtimestamp(slot, UTC):%Y-%m-%d %H:%M} UTC"
    detail = f"{missing} of the deliveries to “{sink.name}” accepted in the ten minutes from {begin} were deleted"
    Finding.objects.create(
        kind="delivery",
        tenant_id=sink.tenant_id,
        destination_id=sink.id,
        slot=slot,
        missing=missing,
        detail=detail,
    )
    log.error("the audit found: %s (destination %d)", detail, sink.id)
