"""New events: writes what was accepted to the log, many events of many tenants in one statement."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, cast

from django.db import connection

from eventsinks.event_types import EventType, event_type
from eventsinks.event_types.columns import NO_COLUMNS, Columns
from eventsinks.event_types.documents import parse_accepted
from eventsinks.models import counting
from eventsinks.models.database import sql
from eventsinks.models.database.arrays import (
    Bigints,
    Blobs,
    Labels,
    Moments,
    Smallints,
    Texts,
    Uuids,
    fetch_bound_rows,
)

EventKey = tuple[uuid.UUID, str, str]  # the tenant, the type, and the sender's id: unique in the log
UNWRITTEN = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class NewEvent:
    """An event to write: the columns of Event. `occurred_at` is in UTC.

    The database gives `id` and `received_at`.
    """

    tenant_id: uuid.UUID
    type: str
    key: str
    data: bytes
    digest: bytes
    occurred_at: datetime
    owed: int
    columns: Columns = NO_COLUMNS
    id: int = 0
    received_at: datetime = UNWRITTEN

    @property
    def log_key(self) -> EventKey:
        """What no two events share."""
        return self.tenant_id, self.type, self.key

    @property
    def event_type(self) -> EventType:
        """The event type."""
        return event_type(self.type)

    @property
    def document(self) -> Any:
        """The parsed data."""
        return parse_accepted(self.data)


COLUMNS = f"tenant_id, type, key, data, digest, occurred_at, owed, {', '.join(Columns._fields)}"
# The unique constraint decides: if another transaction is writing a key, the statement waits for its end.
ONCE = "ON CONFLICT (tenant_id, type, key) DO NOTHING"
COUNTED = f"""
    SELECT tenant_id, 0, '{counting.What.EVENT}', id / {counting.STRETCH} * {counting.STRETCH}, count(*)
    FROM made GROUP BY 1, 4"""
PLACES = f"({', '.join('?' * 13)})"
AT_ONCE_ON_SQLITE = 100  # rows of one statement; each has thirteen parameters


def insert_new(events: Sequence[NewEvent]) -> list[NewEvent]:
    """Write and count the events whose keys are free, with rising ids. Return them with what the database gave.

    No two of `events` may have the same key.
    """
    if not events:
        return []
    given = _insert_on_postgresql(events) if sql.is_postgresql() else _insert_on_sqlite(events)
    new = [event for event in events if event.log_key in given]
    for event in new:
        event.id, event.received_at = given[event.log_key]
    return new


def _insert_on_postgresql(events: Sequence[NewEvent]) -> dict[EventKey, tuple[int, datetime]]:
    statement = f"""
        WITH made AS (INSERT INTO eventsinks_event ({COLUMNS})
        SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::bytea[], %b::bytea[], %b::timestamptz[],
            %b::bigint[], %b::text[], %b::smallint[], %b::text[], %b::text[], %b::text[], %b::text[])
        {ONCE} RETURNING id, tenant_id, type, key, received_at),
        counted AS ({counting.insert_sql(COUNTED)})
        SELECT * FROM made"""
    titles, severities, *texts = zip(*[event.columns for event in events], strict=True)
    parameters = [
        Uuids(event.tenant_id for event in events),
        Labels(event.type for event in events),
        Texts(event.key for event in events),
        Blobs(event.data for event in events),
        Blobs(event.digest for event in events),
        Moments(event.occurred_at for event in events),
        Bigints(event.owed for event in events),
        Labels(titles),
        Smallints(severities),
        *map(Labels, texts),
    ]
    rows = fetch_bound_rows(statement, parameters)
    return {(tenant_id, type, key): (id, at) for id, tenant_id, type, key, at in rows}


def _insert_on_sqlite(events: Sequence[NewEvent]) -> dict[EventKey, tuple[int, datetime]]:
    given: dict[EventKey, tuple[int, datetime]] = {}
    connection.ensure_connection()
    with connection.wrap_database_errors:
        for start in range(0, len(events), AT_ONCE_ON_SQLITE):
            some = events[start : start + AT_ONCE_ON_SQLITE]
            statement = f"""INSERT INTO eventsinks_event ({COLUMNS})
                VALUES {", ".join([PLACES] * len(some))}
                {ONCE} RETURNING id, tenant_id, type, key, received_at"""
            values = chain.from_iterable(map(make_sqlite_row, some))
            rows = cast(sqlite3.Connection, connection.connection).execute(statement, tuple(values))
            for id, tenant_id, type, key, at in rows:
                given[uuid.UUID(tenant_id), type, key] = (id, read_sqlite_moment(at))
    made = Counter([(key[0], counting.find_stretch(id)) for key, (id, _) in given.items()])
    counting.add({(tenant, 0, counting.What.EVENT, stretch): n for (tenant, stretch), n in made.items()})
    return given


def make_sqlite_row(event: NewEvent) -> tuple[Any, ...]:
    """Return the values of an event's columns as Django stores them in SQLite."""
    at = event.occurred_at.replace(tzinfo=None).isoformat(" ")
    return event.tenant_id.hex, event.type, event.key, event.data, event.digest, at, event.owed, *event.columns


def read_sqlite_moment(value: datetime | str) -> datetime:
    """Return a moment that SQLite gave."""
    return (value if isinstance(value, datetime) else datetime.fromisoformat(value)).replace(tzinfo=UTC)


WANTED_ON_SQLITE = """(SELECT json_extract(value, '$[0]') AS tenant_id, json_extract(value, '$[1]') AS type,
    json_extract(value, '$[2]') AS key FROM json_each(%s)) AS wanted"""


def find_digests(keys: Sequence[EventKey]) -> dict[EventKey, bytes]:
    """Return the digests of the events with these keys, if they exist.

    This looks up each key separately. With a list of keys, in a table that was never analysed, both databases
    would read all events of the tenant.
    """
    if not keys:
        return {}
    if sql.is_postgresql():
        wanted = "unnest(%s::uuid[], %s::text[], %s::text[]) AS wanted(tenant_id, type, key)"
        parameters: list[Any] = [list(column) for column in zip(*keys, strict=True)]
    else:
        wanted = WANTED_ON_SQLITE
        parameters = [json.dumps([(tenant_id.hex, type, key) for tenant_id, type, key in keys])]
    statement = f"""
        SELECT wanted.tenant_id, wanted.type, wanted.key, (
            SELECT digest FROM eventsinks_event AS event WHERE event.tenant_id = wanted.tenant_id
                AND event.type = wanted.type AND event.key = wanted.key)
        FROM {wanted}"""
    return {
        (sql.read_id(id), type, key): bytes(digest)
        for id, type, key, digest in sql.fetch_rows(statement, parameters)
        if digest is not None
    }
