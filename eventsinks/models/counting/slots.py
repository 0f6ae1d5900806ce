"""Slots: the ten minutes or the stretch of ids to which a count belongs."""

from __future__ import annotations

from uuid import UUID

GRAIN = 600  # seconds of a slot of deliveries and attempts
STRETCH = 10_000  # ids of a slot of events


def find_slot(id: UUID) -> int:
    """Return the slot of a delivery or an attempt: the beginning of its ten minutes, in seconds since 1970.

    Its id says when it was made (UUID version 7), so rows of one slot are one stretch of the primary key.
    """
    return (id.int >> 80) // 1000 // GRAIN * GRAIN


def slot_sql(id: str) -> str:
    """Return the SQL of `find_slot` on PostgreSQL."""
    return f"(('x' || left(replace({id}::text, '-', ''), 12))::bit(48)::bigint / {GRAIN * 1000} * {GRAIN})"


def find_stretch(event_id: int) -> int:
    """Return the slot of an event: the first id of its stretch. Events have no index by time."""
    return event_id // STRETCH * STRETCH


def first_id_of(slot: int) -> UUID:
    """Return the least id that a delivery or an attempt of a slot can have."""
    return UUID(int=slot * 1000 << 80)
