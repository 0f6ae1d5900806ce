"""Waiting: what lies before and after a place in the log, without reading millions of events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from eventsinks.models.database import sql
from eventsinks.models.event import Event
from eventsinks.models.stream.batch import LogPlace
from eventsinks.models.stream.position import Position
from eventsinks.models.stream.read import beyond_sql, not_beyond_sql

MOST = 100_000  # events of the log that are read,
FAR = 10_000  # and those that are read for each of many integrations


def find_newest_until(tenant_id: uuid.UUID, place: LogPlace) -> tuple[int, datetime] | None:
    """Return the id of the tenant's last event up to a place, and when it was received; None if there is none."""
    events = Event.objects.filter(tenant_id=tenant_id).extra(where=[not_beyond_sql()], params=list(place))
    return events.order_by("-xid", "-id").values_list("id", "received_at").first()


def count_backlog(
    tenant_id: uuid.UUID, types: Sequence[str], after: LogPlace, most: int | None = None
) -> tuple[int, bool]:
    """Return how many of the next events after a place are of these types, and whether there are more.

    It reads `most` events, by default MOST.
    """
    most = MOST if most is None else most
    statement = f"""
        SELECT coalesce(sum(CASE WHEN type IN ({", ".join(["%s"] * len(types))}) THEN 1 ELSE 0 END), 0), count(*)
        FROM (SELECT type FROM eventsinks_event WHERE tenant_id = %s AND {beyond_sql()}
              ORDER BY xid, id LIMIT {most + 1}) AS next"""
    ((found, seen),) = sql.fetch_rows(statement, [*types, sql.convert_id(tenant_id), *after])
    return min(int(found), most), seen > most


class Unsent(NamedTuple):
    """An active integration that has not sent all events: its destination type, and the age of the oldest one."""

    type: str
    tenant_id: uuid.UUID
    types: Sequence[str]
    place: LogPlace
    seconds: float


def find_unsent() -> list[Unsent]:
    """Return the active integrations with something to send, the furthest behind first, in one query.

    Of each, the log is read until its first event, at most FAR events. Events that no stream may read yet count.
    """
    is_heard = "EXISTS (SELECT 1 FROM json_each(integration.event_types) WHERE value = next.type)"
    if sql.is_postgresql():
        is_heard = "jsonb_exists(integration.event_types, next.type)"
    age = f"""(SELECT {sql.seconds_since_sql("next.received_at")} FROM (
            SELECT event.type, event.received_at FROM eventsinks_event AS event
            WHERE event.tenant_id = integration.tenant_id AND event.expunged_at IS NULL
              AND {beyond_sql("event.", "place.xid", "place.event_id")}
            ORDER BY event.xid, event.id LIMIT {FAR}) AS next WHERE {is_heard} LIMIT 1)"""
    statement = f"""
        SELECT * FROM (
            SELECT place.destination_id, {age} AS age FROM eventsinks_position AS place
            JOIN eventsinks_destination AS integration ON integration.id = place.destination_id
            WHERE integration.state = 'active' AND integration.deleted_at IS NULL) AS found
        WHERE age IS NOT NULL ORDER BY age DESC"""
    ages = dict(sql.fetch_rows(statement))
    places = Position.objects.filter(destination_id__in=ages).select_related("destination")
    found = [
        Unsent(
            one.destination.type,
            one.destination.tenant_id,
            one.destination.event_types,
            one.place,
            max(0.0, ages[one.destination_id]),
        )
        for one in places
    ]
    return sorted(found, key=lambda one: -one.seconds)
