"""Compare: the SQL that all walks share. Each statement sees counts, deltas and rows of the same moment."""

from __future__ import annotations

from eventsinks.models.database import sql

# All counts, summed up or not.
TOLD = """(SELECT tenant_id, destination_id, what, slot, n FROM eventsinks_count
    UNION ALL SELECT tenant_id, destination_id, what, slot, n FROM eventsinks_countdelta)"""


def find_counted(whats: tuple[str, ...], slot: int) -> list[int]:
    """Return the first slot, from `slot` on, of each of `whats` that has counts."""
    found: list[int] = []
    for table in ("eventsinks_count", "eventsinks_countdelta"):
        for what in whats:
            rows = sql.fetch_rows(
                f"SELECT slot FROM {table} WHERE what = %s AND slot >= %s ORDER BY slot LIMIT 1", [what, slot]
            )
            found += [first for (first,) in rows]
    return found
