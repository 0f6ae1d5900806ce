"""Renumber: repairs the log of a dump that was restored into a cluster with lower transaction ids.

There, old events count as "not committed yet", and new events come before the positions. So every event gets xid
0, which is older than any transaction. Then the id alone is their order, as on SQLite. That is nearly the old
order. Ids come from a sequence that a dump continues, so newer events have higher ids.

If it is not sure that an event was sent, it is sent again: nothing is skipped.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models.functions import Now

from eventsinks.models.database import sql
from eventsinks.models.stream.batch import Batch, BatchState

LAST = 2**63 - 1  # the event id of a place at the end of the log, whose last event is not known
# No transaction has used this id or a higher one. (A snapshot may not include the running transaction.)
NEXT = """greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    pg_current_xact_id_if_assigned()::text::bigint + 1)"""


def log_is_ahead() -> bool:
    """Return whether the log or a position has a transaction id of the future: one index step for each tenant."""
    if not sql.is_postgresql() or sql.fetch_rows("SELECT to_regclass('eventsinks_position')") == [(None,)]:
        return False
    ((ahead,),) = sql.fetch_rows(
        f"""SELECT EXISTS (SELECT 1 FROM eventsinks_position WHERE xid >= {NEXT}) OR EXISTS (
                SELECT 1 FROM eventsinks_tenant AS tenant
                WHERE (SELECT max(xid) FROM eventsinks_event WHERE tenant_id = tenant.id) >= {NEXT})"""
    )
    return bool(ahead)


def renumber_log() -> int | None:
    """Put the whole log below the transactions of this cluster, and each position to its place in it.

    Return the number of events. If the log is not ahead, return None and change nothing. Writers wait meanwhile.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Positions first, as in all code that writes both.
        cursor.execute("LOCK TABLE eventsinks_position, eventsinks_batch, eventsinks_event IN EXCLUSIVE MODE")
        if not log_is_ahead():
            return None
        cursor.execute(MOVE_POSITIONS)
        cursor.execute(MOVE_REPLAYS)
        # Leases are lost now; the events of open batches lie after the positions, or in the replays.
        Batch.objects.filter(state=BatchState.OPEN).update(
            state=BatchState.SPLIT, settled_at=Now(), reason="the log was restored into another cluster"
        )
        cursor.execute("UPDATE eventsinks_event SET xid = 0 WHERE xid <> 0")
        return int(cursor.rowcount)


# Events stay before a position if both xid and id are before it. Events after it stay after it. So do all events
# that this cluster may have written: their ids are higher than those with a transaction of the other cluster.
# For a place at the end of the log, only its integration's age is known; an hour allows for open transactions.
MOVE_POSITIONS = f"""
    WITH other(id) AS (
        SELECT max((SELECT max(id) FROM eventsinks_event WHERE tenant_id = tenant.id AND xid >= {NEXT}))
        FROM eventsinks_tenant AS tenant)
    UPDATE eventsinks_position AS place
    SET xid = 0, lease = NULL, due_at = statement_timestamp(), event_id = CASE
        WHEN place.event_id = {LAST} THEN coalesce(
            (SELECT min(id) - 1 FROM eventsinks_event WHERE tenant_id = integration.tenant_id
                AND received_at >= integration.created_at - interval '1 hour'),
            (SELECT max(id) FROM eventsinks_event WHERE tenant_id = integration.tenant_id),
            0)
        ELSE least(
            place.event_id,
            other.id,
            (SELECT min(id) - 1 FROM eventsinks_event
             WHERE tenant_id = integration.tenant_id AND (xid, id) > (place.xid, place.event_id)))
        END
    FROM other, eventsinks_destination AS integration WHERE integration.id = place.destination_id"""

# A replay ends at the position at the latest: later events are sent anyway, and no replay may move a position.
MOVE_REPLAYS = """
    WITH stretch AS (
        SELECT place.destination_id AS id, min(event.id) - 1 AS first, least(max(event.id), place.event_id) AS last
        FROM eventsinks_position AS place
        JOIN eventsinks_destination AS integration ON integration.id = place.destination_id
        LEFT JOIN eventsinks_event AS event ON event.tenant_id = integration.tenant_id
            AND (event.xid, event.id) > (place.replay_xid, place.replay_event_id)
            AND (event.xid, event.id) <= (place.until_xid, place.until_event_id)
        WHERE place.replay_xid IS NOT NULL GROUP BY place.destination_id)
    UPDATE eventsinks_position AS place
    SET replay_xid = CASE WHEN first < last THEN 0 END, replay_event_id = CASE WHEN first < last THEN first END,
        until_xid = CASE WHEN first < last THEN 0 END, until_event_id = CASE WHEN first < last THEN last END
    FROM stretch WHERE stretch.id = place.destination_id"""
