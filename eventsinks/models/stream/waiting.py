"""Waiting: what lies before and after a place in the log, without reading millions of events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from eventsinks.models.database import sql
from eventsinks.models.event import Event
from eventsinks.models.stream.batch import LogPlace
from eventsinks.models.stream.read import beyond_sql, convert_id, not_beyond_sql

MOST = 100_000  # events of the log that are read


def find_newest_until(tenant_id: uuid.UUID, place: LogPlace) -> tuple[int, datetime] | None:
    """Return the id of the tenant's last event up to a place, and when it was received; None if there is none."""
    events = Event.objects.filter(tenant_id=tenant_id).extra(where=[not_beyond_sql()], params=list(place))
    return events.order_by("-xid", "-id").values_list("id", "received_at").first()


def count_backlog(tenant_id: uuid.UUID, types: Sequence[str], after: LogPlace) -> tuple[int, bool]:
    """Return how many of the next MOST events after a place are of these types, and whether there are more."""
    statement = f"""
        SELECT coalesce(sum(CASE WHEN type IN ({", ".join(["%s"] * len(types))}) THEN 1 ELSE 0 END), 0), count(*)
        FROM (SELECT type FROM eventsinks_event WHERE tenant_id = %s AND {beyond_sql()}
              ORDER BY xid, id LIMIT {MOST + 1}) AS next"""
    ((found, seen),) = sql.fetch_rows(statement, [*types, convert_id(tenant_id), *after])
    return min(int(found), MOST), seen > MOST
