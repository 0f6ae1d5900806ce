"""Add: writes what a transaction counts, in the same transaction. PostgreSQL gets deltas, SQLite adds at once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from django.db import connection

from eventsinks.models.counting.slots import find_slot
from eventsinks.models.counting.tables import What
from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Bigints, Texts, Uuids, fetch_bound_rows

Key = tuple[UUID, int, str, int]  # tenant, destination, what, slot
Tally = Mapping[Key, int]

COLUMNS = "tenant_id, destination_id, what, slot, n"
# A part of a larger statement on PostgreSQL; its parameters are `list_columns`.
GIVEN = "unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::bigint[])"


def insert_sql(source: str = f"SELECT * FROM {GIVEN}") -> str:
    """Return the SQL that writes deltas on PostgreSQL, for a WITH query of the statement that makes the change."""
    return f"INSERT INTO eventsinks_countdelta ({COLUMNS}) {source}"


UPSERT = f"""INSERT INTO eventsinks_count ({COLUMNS}) {{source}}
    ON CONFLICT (destination_id, slot, what, tenant_id) DO UPDATE SET n = eventsinks_count.n + excluded.n"""

ADD_ON_SQLITE = UPSERT.format(source="VALUES (?, ?, ?, ?, ?)")


def list_columns(tally: Tally) -> list[Any]:
    """Return the five parameters of `insert_sql()`."""
    keys = list(tally)
    return [
        Uuids(key[0] for key in keys),
        Bigints(key[1] for key in keys),
        Texts(key[2] for key in keys),
        Bigints(key[3] for key in keys),
        Bigints(tally.values()),
    ]


def add(tally: Tally) -> None:
    """Add to the counts, in the transaction of the caller."""
    if not tally:
        return
    if sql.is_postgresql():
        fetch_bound_rows(insert_sql(), list_columns(tally))
        return
    connection.ensure_connection()
    with connection.wrap_database_errors:
        rows = [(tenant.hex, *rest, n) for (tenant, *rest), n in tally.items()]
        cast(sqlite3.Connection, connection.connection).executemany(ADD_ON_SQLITE, rows)


def tally_new(rows: Iterable[tuple[UUID, int, UUID, str]]) -> Tally:
    """Count new deliveries, given as (tenant, destination, id, state)."""
    tenants: dict[int, UUID] = {}
    made: Counter[tuple[int, int, str]] = Counter()  # hashing a tenant's id for each row would cost more
    for tenant, sink, id, state in rows:
        tenants[sink] = tenant
        made[sink, find_slot(id), state] += 1
    tally: Counter[Key] = Counter()
    for (sink, slot, state), n in made.items():
        tally[tenants[sink], sink, What.ACCEPTED, slot] += n
        if state not in ("pending", "sending"):
            tally[tenants[sink], sink, state, slot] += n
    return tally
