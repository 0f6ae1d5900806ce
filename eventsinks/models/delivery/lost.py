"""Lost: ends deliveries that no worker will handle any more, lane by lane, a bounded number at a time."""

from __future__ import annotations

from eventsinks.models.database import sql
from eventsinks.models.delivery.line import call_next, read_line
from eventsinks.models.delivery.row import OPEN

AT_ONCE = 2_000  # deliveries of one statement


SINKS = sql.distinct_sql("eventsinks_delivery", "destination_id", OPEN)


def find_sinks_with_open() -> list[int]:
    """Return the destinations with open deliveries."""
    return [id for (id,) in sql.fetch_rows(SINKS)]


def find_sinks_with_lost(max_tries: int) -> list[int]:
    """Return the destinations for which `give_up_lost` would move something."""
    statement = f"""{SINKS} AND EXISTS (
        SELECT 1 FROM eventsinks_delivery
        WHERE {OPEN} AND destination_id = found.id AND tries >= %s AND due_at <= {sql.now_sql()})"""
    return [id for (id,) in sql.fetch_rows(statement, [max_tries])]


def give_up_lost(max_tries: int, destination_id: int) -> int:
    """Move from sending to failed if the lease of the last try ran out. So an event that kills its workers ends.

    The same happens to pending deliveries without tries left, because the schedule became shorter: nobody would
    claim them. It moves at most AT_ONCE of one sink, and none that is locked. Return how many moved. A
    materialized query chooses them once: a subquery with a limit may run again for every row.
    """
    statement = f"""
        WITH lost AS MATERIALIZED (
            SELECT id FROM eventsinks_delivery
            WHERE {OPEN} AND destination_id = %s AND tries >= %s AND due_at <= {sql.now_sql()}
            ORDER BY destination_id, tries, due_at LIMIT %s {sql.skip_locked_sql()})
        UPDATE eventsinks_delivery
        SET state = 'failed', lease = NULL, settled_at = {sql.now_sql()},
            reason = CASE WHEN state = 'pending' THEN reason ELSE 'the worker was lost during the last try' END
        WHERE {OPEN} AND tries >= %s AND due_at <= {sql.now_sql()} AND id IN (SELECT id FROM lost)
        RETURNING destination_id, ordering_key"""
    given_up = sql.fetch_rows(statement, [destination_id, max_tries, AT_ONCE, max_tries])
    call_next([read_line(row) for row in given_up if row[1] is not None])
    return len(given_up)
