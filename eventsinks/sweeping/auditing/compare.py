"""Compare: the SQL that all walks share. Each statement sees counts, deltas and rows of the same moment."""

from __future__ import annotations

import uuid
from typing import Any

from eventsinks.models.counting import first_id_of
from eventsinks.models.database import sql

# All counts, summed up or not.
TOLD = """(SELECT tenant_id, destination_id, what, slot, n FROM eventsinks_count
    UNION ALL SELECT tenant_id, destination_id, what, slot, n FROM eventsinks_countdelta)"""


def convert_id(id: uuid.UUID) -> Any:
    """Return an id as the database takes it."""
    return id if sql.is_postgresql() else id.hex


def read_id(id: Any) -> uuid.UUID:
    """Return an id that the database gave."""
    return id if isinstance(id, uuid.UUID) else uuid.UUID(id)


def list_bounds(slot: int, size: int) -> list[Any]:
    """Return the ids between which the rows of a slot of time are."""
    return [convert_id(first_id_of(slot)), convert_id(first_id_of(slot + size))]


def find_next_slot(table: str, whats: tuple[str, ...], slot: int, grain: int) -> int | None:
    """Return the first slot of time, from `slot` on, that has rows in `table` or counts of `whats`."""
    rows = sql.fetch_rows(
        f"SELECT id FROM {table} WHERE id >= %s ORDER BY id LIMIT 1", [convert_id(first_id_of(slot))]
    )
    found = [(read_id(id).int >> 80) // 1000 // grain * grain for (id,) in rows]
    return min([*found, *find_counted(whats, slot)], default=None)


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
