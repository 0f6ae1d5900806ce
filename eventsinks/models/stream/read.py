"""Read: reads a tenant's event log from a place on, and never skips events that are not committed yet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.event_types.documents import parse_accepted
from eventsinks.models.database import sql
from eventsinks.models.delivery.row import OPEN
from eventsinks.models.event import Event
from eventsinks.models.stream.batch import LogPlace

LAST = 2**63 - 1


class Logged(NamedTuple):
    """An event as a stream reads it."""

    id: int
    xid: int
    type: str
    occurred_at: datetime
    data: bytes | memoryview

    @property
    def document(self) -> Any:
        """The parsed data."""
        return parse_accepted(bytes(self.data))


class Next(NamedTuple):
    """An event in a look ahead: its size in bytes, and how many seconds ago it was received."""

    id: int
    xid: int
    size: int
    age: float


def look_ahead(
    tenant_id: uuid.UUID, types: Sequence[str], after: LogPlace, limit: int, until: LogPlace | None = None
) -> list[Next]:
    """Return at most `limit` events after a place, in order, of transactions older than every running one.

    They come without their data, which might not fit into memory. Their age is by the database's clock.
    """
    length = "octet_length" if sql.is_postgresql() else "length"
    statement = f"""
        SELECT id, xid, {length}(data), {sql.seconds_since_sql("received_at")}
        FROM eventsinks_event
        WHERE tenant_id = %s AND {beyond_sql()} AND {settled_sql()}
          {"AND " + not_beyond_sql() if until else ""}
          AND type IN ({", ".join(["%s"] * len(types))}) AND expunged_at IS NULL
        ORDER BY xid, id LIMIT %s"""
    parameters = [sql.convert_id(tenant_id), after.xid, after.event_id, *(until or ()), *types, limit]
    return list(map(Next._make, sql.fetch_rows(statement, parameters)))


def find_last_settled(tenant_id: uuid.UUID) -> LogPlace:
    """Return the place of the tenant's last event, of any type, that may be read."""
    statement = f"""
        SELECT xid, id FROM eventsinks_event WHERE tenant_id = %s AND {settled_sql()}
        ORDER BY xid DESC, id DESC LIMIT 1"""
    found = sql.fetch_rows(statement, [sql.convert_id(tenant_id)])
    return LogPlace(*found[0]) if found else get_beginning()


def read_members(ids: Sequence[int]) -> list[Logged]:
    """Return these events, in the order of `ids`."""
    # One parameter: Django needs more time for each item of a list than the database for reading an event.
    members = "SELECT value FROM json_each(%s)"
    if sql.is_postgresql():
        members = "SELECT value::bigint FROM json_array_elements_text(%s::json) AS value"
    given = orjson.dumps(list(ids)).decode()
    events = Event.objects.filter(expunged_at=None).extra(where=[f"id IN ({members})"], params=[given]).order_by()
    by_id = {row[0]: Logged._make(row) for row in events.values_list(*Logged._fields)}
    return [by_id[id] for id in ids if id in by_id]


def settled_sql() -> str:
    """Return the SQL condition for events whose transaction is older than every running one."""
    return "xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint" if sql.is_postgresql() else "xid = 0"


def beyond_sql(event: str = "", xid: str = "%s", id: str = "%s") -> str:
    """Return the SQL condition for events after a place."""
    if sql.is_postgresql():
        return f"({event}xid, {event}id) > ({xid}, {id})"
    # The separate condition on xid keeps SQLite from reading the index from the tenant's first event on.
    return f"{xid} = 0 AND {event}id > {id}"


def not_beyond_sql() -> str:
    """Return the SQL condition for events up to a place."""
    return "(xid, id) <= (%s, %s)" if sql.is_postgresql() else "%s = 0 AND id <= %s"


def find_due_positions(limit: int = 1000) -> list[int]:
    """Return the integrations that are due and have events to send or a manifest to write."""
    types = [key for key, kind in DESTINATION_TYPES.items() if kind.keeps_manifests]
    statement = f"""
        SELECT place.destination_id FROM eventsinks_position AS place
        JOIN eventsinks_destination AS integration ON integration.id = place.destination_id
        WHERE place.due_at <= {sql.now_sql()} AND integration.state = 'active' AND integration.deleted_at IS NULL
          AND (integration.held_until IS NULL OR integration.held_until <= {sql.now_sql()})
          AND (EXISTS (SELECT 1 FROM eventsinks_batch AS batch
                       WHERE batch.destination_id = place.destination_id AND batch.state = 'open')
            OR EXISTS (SELECT 1 FROM eventsinks_event AS event
                       WHERE event.tenant_id = integration.tenant_id AND event.{settled_sql()}
                         AND {beyond_sql("event.", "place.xid", "place.event_id")})
            OR place.replay_xid IS NOT NULL
            OR EXISTS (SELECT 1 FROM eventsinks_delivery AS delivery
                       WHERE delivery.destination_id = place.destination_id
                         AND state IN ('pending', 'sending') AND delivery.due_at <= {sql.now_sql()})
            OR integration.type IN ({", ".join(["%s"] * len(types))}) AND EXISTS (
                SELECT 1 FROM eventsinks_batch AS batch WHERE batch.destination_id = place.destination_id
                AND batch.number = place.manifest_number + 1 AND batch.settled_at < {sql.this_hour_sql()}))
        LIMIT %s"""
    return [row[0] for row in sql.fetch_rows(statement, [*types, limit])]


def find_dead_letters_due(destination_id: int, max_tries: int) -> int | None:
    """Return the number of tries of a dead letter that is due, None if none is due."""
    statement = f"""
        WITH lane(tries) AS (VALUES {", ".join(f"({tries})" for tries in range(max_tries))})
        SELECT tries FROM lane WHERE EXISTS (
            SELECT 1 FROM eventsinks_delivery AS delivery
            WHERE {OPEN} AND destination_id = %s AND delivery.tries = lane.tries AND due_at <= {sql.now_sql()})
        LIMIT 1"""
    found = sql.fetch_rows(statement, [destination_id])
    return found[0][0] if found else None


def get_beginning() -> LogPlace:
    """Return the place before all events."""
    return LogPlace(0, 0)


def find_end_of_log() -> LogPlace:
    """Return the place after which only new events are read."""
    if sql.is_postgresql():
        ((oldest_running,),) = sql.fetch_rows("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return LogPlace(oldest_running - 1, LAST)
    return LogPlace(0, Event.objects.order_by("-id").values_list("id", flat=True).first() or 0)


def find_moment_of_log(tenant_id: uuid.UUID, since: datetime) -> LogPlace:
    """Return the place just before the first event that was received at `since` or later."""
    found = (
        Event.objects.filter(tenant_id=tenant_id, received_at__gte=since)
        .order_by("xid", "id")
        .values_list("xid", "id")
        .first()
    )
    return LogPlace(found[0], found[1] - 1) if found else find_end_of_log()


def find_end_of_moment(tenant_id: uuid.UUID, until: datetime) -> LogPlace:
    """Return the place of the last event that was received at `until` or earlier."""
    events = Event.objects.filter(tenant_id=tenant_id, received_at__lte=until)
    found = events.order_by("-xid", "-id").values_list("xid", "id").first()
    return LogPlace(*found) if found else get_beginning()
