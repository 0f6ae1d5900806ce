"""Reading a tenant's event log from a place on, without ever skipping what is not committed yet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from eventsinks.models import sql
from eventsinks.models.event import Event
from eventsinks.models.stream.rows import Place

LAST = 2**63 - 1


class Logged(NamedTuple):
    """An event as a stream reads it."""

    id: int
    xid: int
    type: str
    occurred_at: datetime
    data: bytes | memoryview


class Next(NamedTuple):
    """What a look ahead knows of an event: its size in bytes, and how many seconds ago it was received."""

    id: int
    xid: int
    size: int
    age: float


def look_ahead(tenant_id: uuid.UUID, types: Sequence[str], after: Place, limit: int) -> list[Next]:
    """Return at most `limit` events after a place, in order, of transactions older than every running one.

    Without their data, which may be more than memory holds. The database's clock says how old they are.
    """
    statement = f"""
        SELECT id, xid, {"octet_length" if sql.is_postgresql() else "length"}(data), {age()} FROM eventsinks_event
        WHERE tenant_id = %s AND (xid, id) > (%s, %s) AND {settled()}
          AND type IN ({", ".join(["%s"] * len(types))})
        ORDER BY xid, id LIMIT %s"""
    parameters = [as_parameter(tenant_id), after.xid, after.event_id, *types, limit]
    return list(map(Next._make, sql.rows(statement, parameters)))


def last_settled(tenant_id: uuid.UUID) -> Place:
    """Return the place of the tenant's last event that may be read, of whatever type."""
    statement = f"""
        SELECT xid, id FROM eventsinks_event WHERE tenant_id = %s AND {settled()}
        ORDER BY xid DESC, id DESC LIMIT 1"""
    found = sql.rows(statement, [as_parameter(tenant_id)])
    return Place(*found[0]) if found else beginning()


def read_members(ids: Sequence[int]) -> list[Logged]:
    """Return these events, in the order of `ids`."""
    # As one parameter: Django looks at each of a list's items for longer than it takes to read an event.
    members = "SELECT value FROM json_each(%s)"
    if sql.is_postgresql():
        members = "SELECT value::bigint FROM json_array_elements_text(%s::json) AS value"
    given = orjson.dumps(list(ids)).decode()
    events = Event.objects.extra(where=[f"id IN ({members})"], params=[given]).order_by()
    by_id = {row[0]: Logged._make(row) for row in events.values_list(*Logged._fields)}
    return [by_id[id] for id in ids if id in by_id]


def age() -> str:
    """Return the SQL for the seconds since an event was received."""
    if sql.is_postgresql():
        return "extract(epoch FROM statement_timestamp() - received_at)::float8"
    return "(julianday('now') - julianday(received_at)) * 86400.0"


def settled() -> str:
    """Return the SQL that holds for events whose transaction is older than every running one."""
    return "xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint" if sql.is_postgresql() else "xid = 0"


def due_positions(limit: int = 1000) -> list[int]:
    """Return the integrations that are due and have something to send."""
    statement = f"""
        SELECT place.destination_id FROM eventsinks_position AS place
        JOIN eventsinks_destination AS integration ON integration.id = place.destination_id
        WHERE place.due_at <= {sql.now()} AND integration.state = 'active' AND integration.deleted_at IS NULL
          AND (integration.held_until IS NULL OR integration.held_until <= {sql.now()})
          AND (EXISTS (SELECT 1 FROM eventsinks_batch AS batch
                       WHERE batch.destination_id = place.destination_id AND batch.state = 'open')
            OR EXISTS (SELECT 1 FROM eventsinks_event AS event
                       WHERE event.tenant_id = integration.tenant_id AND event.{settled()}
                         AND (event.xid, event.id) > (place.xid, place.event_id))
            OR EXISTS (SELECT 1 FROM eventsinks_delivery AS delivery
                       WHERE delivery.destination_id = place.destination_id
                         AND state IN ('pending', 'sending') AND delivery.due_at <= {sql.now()}))
        LIMIT %s"""
    return [row[0] for row in sql.rows(statement, [limit])]


def beginning() -> Place:
    """Return the place before everything."""
    return Place(0, 0)


def end_of_log() -> Place:
    """Return the place from which on only what comes now is read."""
    if sql.is_postgresql():
        ((oldest_running,),) = sql.rows("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return Place(oldest_running - 1, LAST)
    return Place(0, Event.objects.order_by("-id").values_list("id", flat=True).first() or 0)


def moment_of_log(tenant_id: uuid.UUID, since: datetime) -> Place:
    """Return the place just before the first event that was received at `since` or later."""
    found = (
        Event.objects.filter(tenant_id=tenant_id, received_at__gte=since)
        .order_by("xid", "id")
        .values_list("xid", "id")
        .first()
    )
    return Place(found[0], found[1] - 1) if found else end_of_log()


def as_parameter(id: uuid.UUID) -> object:
    """Return a UUID as the database's driver takes it."""
    return id if sql.is_postgresql() else id.hex
