"""Write: writes new deliveries, many in one statement."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.db import connection

from eventsinks.models import counting
from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Bigints, Smallints, Texts, Uuids, fetch_bound_rows
from eventsinks.models.delivery.line import never_sql
from eventsinks.models.delivery.row import DeliveryState


@dataclass(slots=True, eq=False)
class NewDelivery:
    """A delivery to write: the columns of Delivery. It is due now, unless it stands behind another of its line."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    event_id: int
    destination_id: int
    state: str = DeliveryState.PENDING.value
    reason: str = ""
    ordering_key: uuid.UUID | None = None
    incident: uuid.UUID | None = None
    phase: int | None = None
    is_behind: bool = False


COLUMNS = (
    "id, event_id, destination_id, state, reason, ordering_key, incident, phase, tries, due_at, settled_at, "
    "fell_back, replayed"
)


def insert_deliveries(rows: Sequence[NewDelivery]) -> None:
    """Write and count all of them.

    Raises IntegrityError if another delivery has just become the first of the same line.
    """
    if rows:
        tally = counting.tally_new((row.tenant_id, row.destination_id, row.id, row.state) for row in rows)
        (_insert_on_postgresql if sql.is_postgresql() else _insert_on_sqlite)(rows, tally)


def _insert_on_postgresql(rows: Sequence[NewDelivery], tally: counting.Tally) -> None:
    now = sql.now_sql()
    statement = f"""
        WITH counted AS ({counting.insert_sql()})
        INSERT INTO eventsinks_delivery ({COLUMNS})
        SELECT id, event_id, destination_id, state, reason, ordering_key, incident, phase, 0,
            CASE WHEN is_behind = 1 THEN {never_sql()} ELSE {now} END,
            CASE WHEN state = 'pending' THEN NULL ELSE {now} END, false, false
        FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::uuid[], %b::uuid[],
            %b::smallint[], %b::smallint[])
        AS new(id, event_id, destination_id, state, reason, ordering_key, incident, phase, is_behind)"""
    parameters = [
        *counting.list_columns(tally),
        Uuids(row.id for row in rows),
        Bigints(row.event_id for row in rows),
        Bigints(row.destination_id for row in rows),
        Texts(row.state for row in rows),
        Texts(row.reason for row in rows),
        Uuids(row.ordering_key for row in rows),
        Uuids(row.incident for row in rows),
        Smallints(row.phase for row in rows),
        Smallints(int(row.is_behind) for row in rows),
    ]
    fetch_bound_rows(statement, parameters)


def _insert_on_sqlite(rows: Sequence[NewDelivery], tally: counting.Tally) -> None:
    now = sql.now_sql().replace("%%", "%")
    statement = f"""
        INSERT INTO eventsinks_delivery ({COLUMNS})
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, CASE WHEN ?9 THEN {never_sql()} ELSE {now} END,
            CASE WHEN ?4 = 'pending' THEN NULL ELSE {now} END, 0, 0)"""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cast(sqlite3.Connection, connection.connection).executemany(statement, map(make_sqlite_row, rows))
    counting.add(tally)


def make_sqlite_row(row: NewDelivery) -> tuple[Any, ...]:
    """Return the values of a delivery's columns as Django stores them in SQLite."""
    key, incident = [id.hex if id else None for id in (row.ordering_key, row.incident)]
    phase = None if row.phase is None else int(row.phase)
    ids = (row.id.hex, row.event_id, row.destination_id)
    return *ids, row.state, row.reason, key, incident, phase, row.is_behind
