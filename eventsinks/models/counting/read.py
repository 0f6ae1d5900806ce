"""Read: sums of counts by time, for pages. What they cost depends on the time and the sinks, not on the alerts."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from eventsinks.models.counting.slots import GRAIN
from eventsinks.models.counting.tables import ENDED, What
from eventsinks.models.counting.times import DONES, FIRSTS
from eventsinks.models.database import sql
from eventsinks.models.database.clock import read_database_clock

DAY = 86_400 // GRAIN  # slots of a day
Sums = dict[str, int]
STATES = (What.ACCEPTED, *ENDED)
TIMES = (*FIRSTS, *DONES)


def find_first_slot(now: datetime, slots: int = DAY) -> int:
    """Return the first of the last so many slots of time."""
    return (int(now.timestamp()) // GRAIN - slots + 1) * GRAIN


def sum_by_slot(since: int, tenant_id: uuid.UUID | None = None) -> dict[int, Sums]:
    """Return the sums of each slot from `since` on, of one tenant or of all."""
    found: defaultdict[int, Sums] = defaultdict(dict)
    for slot, what, n in read_sums("slot, what", since, tenant_id=tenant_id):
        found[slot][what] = int(n)
    return found


def sum_by_sink(since: int, sinks: Collection[int]) -> dict[int, dict[int, Sums]]:
    """Return the sums of each of these destinations and slots from `since` on."""
    found: dict[int, dict[int, Sums]] = {sink: {} for sink in sinks}
    if sinks:
        for sink, slot, what, n in read_sums("destination_id, slot, what", since, sinks=sinks):
            found[sink].setdefault(slot, {})[what] = int(n)
    return found


def sum_times(since: int, tenant_id: uuid.UUID | None = None) -> Sums:
    """Return the sums of the classes of durations from `since` on, of one tenant or of all."""
    return {what: int(n) for what, n in read_sums("what", since, tenant_id=tenant_id, whats=TIMES)}


def count_failed(sinks: Collection[int]) -> dict[int, int]:
    """Return how much of what was accepted within a day has failed, by those of these sinks that have any."""
    since = find_first_slot(read_database_clock())
    rows = read_sums("destination_id, what", since, sinks=sinks, whats=["failed"]) if sinks else []
    return {sink: int(n) for sink, _, n in rows if n > 0}


def find_sinks_with_failed(tenant_id: uuid.UUID | None, most: int) -> list[int]:
    """Return the destinations for which most has failed of what was accepted within a day."""
    since = find_first_slot(read_database_clock())
    rows = read_sums("destination_id, what", since, tenant_id=tenant_id, whats=["failed"])
    failed = sorted(((int(n), sink) for sink, _, n in rows if n > 0), reverse=True)
    return [sink for _, sink in failed[:most]]


def read_sums(
    by: str,
    since: int,
    tenant_id: uuid.UUID | None = None,
    sinks: Collection[int] = (),
    whats: Collection[str] = STATES,
) -> list[tuple[Any, ...]]:
    """Return rows of `by` (names of columns) and the sum, of some sinks or of all destinations."""
    parameters: list[Any]
    conditions, parameters = [f"what IN ({', '.join(['%s'] * len(whats))})", "slot >= %s"], [*whats, since]
    if tenant_id is not None:
        conditions.append("tenant_id = %s")
        parameters.append(sql.convert_id(tenant_id))
    if sinks:
        conditions.append(f"destination_id IN ({', '.join(['%s'] * len(sinks))})")
        parameters += [*sinks]
    where = " AND ".join(conditions)
    return sql.fetch_rows(
        f"""SELECT {by}, sum(n) FROM (
            SELECT destination_id, slot, what, n FROM eventsinks_count WHERE {where}
            UNION ALL SELECT destination_id, slot, what, n FROM eventsinks_countdelta WHERE {where}) AS told
        GROUP BY {by}""",
        parameters * 2,
    )


def count_waiting(sums: Sums) -> int:
    """Return how many of the accepted deliveries have not ended."""
    return sums.get(What.ACCEPTED, 0) - sum(sums.get(state, 0) for state in ENDED)
