"""Roll up: sums deltas up into counts, a bounded number in one statement: it is done whole or not at all."""

from __future__ import annotations

import time

from eventsinks.models.counting.add import COLUMNS, UPSERT
from eventsinks.models.database import sql

AT_ONCE = 5_000  # deltas of one statement
SECONDS = 0.3  # of one sweep

# Two at the same time take different deltas, and write their sums in the same order.
ROLL_UP = f"""
    WITH gone AS (
        DELETE FROM eventsinks_countdelta WHERE id IN (
            SELECT id FROM eventsinks_countdelta ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING {COLUMNS}),
    written AS ({
    UPSERT.format(
        source='''SELECT tenant_id, destination_id, what, slot, sum(n) FROM gone
        GROUP BY tenant_id, destination_id, what, slot ORDER BY destination_id, slot, what, tenant_id'''
    )
})
    SELECT count(*) FROM gone"""


def roll_up() -> int:
    """Move deltas into the counts, for about SECONDS. Return how many."""
    until, total = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        moved = roll_up_some()
        total += moved
        if moved < AT_ONCE:
            break
    return total


def roll_up_some() -> int:
    """Move at most AT_ONCE deltas into the counts. Return how many. SQLite has none."""
    if not sql.is_postgresql():
        return 0
    ((moved,),) = sql.fetch_rows(ROLL_UP, [AT_ONCE])
    return int(moved)
