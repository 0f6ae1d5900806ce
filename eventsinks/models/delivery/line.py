"""Line: sends deliveries of one sink with the same ordering key one after another, in the order of acceptance.

At most one delivery of a line is due, waits for its next try or is being sent: the first. The others stand BEHIND
it, at a `due_at` that never comes, so no claim reads them. A unique index makes sure that there is only one first.
The process that ends the first for good calls the next one after the commit, when it sees what was accepted
meanwhile. If that call is lost with its process, the sweep (`line_up.call_uncalled`) finds the line.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from eventsinks.models.database import sql
from eventsinks.models.delivery.row import BEHIND, Delivery, DeliveryLine

SLOTS = 32  # locks of a tenant: so few that a thousand keys in one request do not fill the table of locks
AT_ONCE = 400  # lines of one statement
MOST_COUNTED = 10_000  # deliveries behind others, counted at most
NEVER = f"'{BEHIND:%Y-%m-%d %H:%M:%S}{{}}'"
# Exactly the conditions of the indexes delivery_in_line, delivery_first_in_line and delivery_failed_in_line.
IN_LINE = "here.ordering_key IS NOT NULL AND here.state IN ('pending', 'sending')"
FAILED = "here.ordering_key IS NOT NULL AND here.state = 'failed'"
OF_LINE = "here.destination_id = line.destination_id AND here.ordering_key = line.ordering_key"


class LineLag(NamedTuple):
    """How many deliveries of a sink wait for an earlier one (MOST_COUNTED at most), and since when."""

    waiting: int
    since: datetime | None


def lock_lines(keys: Iterable[tuple[uuid.UUID, uuid.UUID]]) -> None:
    """Let nobody else accept events of these tenants and keys until the transaction ends.

    So ids are in the order of commits. SQLite has one writer, and needs no locks.
    """
    numbers = sorted({(tenant_id.int ^ key.int % SLOTS) % 2**63 for tenant_id, key in keys})
    if numbers and sql.is_postgresql():
        sql.fetch_rows("SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number", [numbers])


def find_busy_lines(lines: Collection[DeliveryLine]) -> set[DeliveryLine]:
    """Return those of `lines` in which somebody stands, so that who comes now stands behind."""
    found: set[DeliveryLine] = set()
    for relation, parameters in make_relations(lines):
        statement = f"""
            SELECT line.destination_id, line.ordering_key FROM {relation}
            WHERE EXISTS (SELECT 1 FROM eventsinks_delivery AS here WHERE {OF_LINE} AND {IN_LINE})
               OR {is_held_sql()}"""
        found |= {read_line(row) for row in sql.fetch_rows(statement, parameters)}
    return found


def call_next(lines: Collection[DeliveryLine]) -> int:
    """Let the first of each line go, where none does. Return how many were called.

    The sweep does this for lines that another process has locked, or is just calling.
    """
    return sum(call_unless_taken(some) for some in split_lines(lines))


def call_unless_taken(lines: Sequence[DeliveryLine]) -> int:
    """Call the next of each line; one by one where one of them has just got a first from somebody else."""
    with suppress(IntegrityError), transaction.atomic():
        return call_lines(lines)
    count = 0
    for line in lines if len(lines) > 1 else ():
        with suppress(IntegrityError), transaction.atomic():
            count += call_lines([line])
    return count


def call_lines(lines: Sequence[DeliveryLine]) -> int:
    """Call the next of each line. Raises IntegrityError where a line has just got another first."""
    ((relation, parameters),) = make_relations(lines)
    lock = "FOR NO KEY UPDATE OF head SKIP LOCKED" if sql.is_postgresql() else ""
    statement = f"""
        UPDATE eventsinks_delivery SET due_at = {sql.now_sql()}
        WHERE state = 'pending' AND due_at >= {never_sql()} AND id IN (
            SELECT head.id FROM {relation} JOIN eventsinks_delivery AS head ON head.id = (
                SELECT here.id FROM eventsinks_delivery AS here WHERE {OF_LINE} AND {IN_LINE}
                ORDER BY here.event_id LIMIT 1)
            WHERE head.state = 'pending' AND head.due_at >= {never_sql()} AND NOT EXISTS (
                SELECT 1 FROM eventsinks_delivery AS here
                WHERE {OF_LINE} AND {IN_LINE} AND here.due_at < {never_sql()})
              AND NOT {is_held_sql("AND here.event_id < head.event_id")}
            {lock})
        RETURNING id"""
    return len(sql.fetch_rows(statement, parameters))


def put_in_order(lines: Collection[DeliveryLine]) -> int:
    """Do the same, where an earlier one may have come back: who waits for its next try steps back behind it."""
    for relation, parameters in make_relations(lines):
        sql.fetch_rows(
            f"""UPDATE eventsinks_delivery SET due_at = {never_sql()}
                WHERE state = 'pending' AND due_at < {never_sql()} AND id IN (
                    SELECT first.id FROM {relation} JOIN eventsinks_delivery AS first
                        ON {OF_LINE.replace("here.", "first.")} AND first.ordering_key IS NOT NULL
                        AND first.state = 'pending' AND first.due_at < {never_sql()}
                    WHERE EXISTS (
                        SELECT 1 FROM eventsinks_delivery AS here
                        WHERE {OF_LINE} AND {IN_LINE} AND here.event_id < first.event_id))
                RETURNING id""",
            parameters,
        )
    return call_next(lines)


def read_lines_from(after: DeliveryLine, most: int) -> list[DeliveryLine]:
    """Return the next lines in which somebody stands, in the order of their index, `most` at most."""
    if sql.is_postgresql():
        rows = sql.fetch_rows(LINES, [*after, most])
    else:
        rows = sql.fetch_rows(LINES_ON_SQLITE, [after[0], after[1].hex, most])
    return [read_line(row) for row in rows]


# Jumps from line to line in the index, however long they are.
LINES = f"""
    WITH RECURSIVE line AS (
        (SELECT destination_id, ordering_key FROM eventsinks_delivery AS here
         WHERE {IN_LINE} AND (destination_id, ordering_key) > (%s, %s::uuid)
         ORDER BY destination_id, ordering_key LIMIT 1)
        UNION ALL
        SELECT next.* FROM line CROSS JOIN LATERAL (
            SELECT destination_id, ordering_key FROM eventsinks_delivery AS here
            WHERE {IN_LINE}
              AND (here.destination_id, here.ordering_key) > (line.destination_id, line.ordering_key)
            ORDER BY destination_id, ordering_key LIMIT 1) AS next)
    SELECT * FROM line LIMIT %s"""
LINES_ON_SQLITE = f"""
    SELECT DISTINCT destination_id, ordering_key FROM eventsinks_delivery AS here
    WHERE {IN_LINE} AND (destination_id, ordering_key) > (%s, %s)
    ORDER BY destination_id, ordering_key LIMIT %s"""


def count_behind(destination_id: int) -> LineLag:
    """Return how many deliveries of a sink wait for an earlier one, and since when the first of them does."""
    found = Delivery.objects.filter(destination_id=destination_id).behind()
    oldest = found.order_by("id").first()
    if oldest is None:
        return LineLag(0, None)
    return LineLag(found.order_by()[:MOST_COUNTED].count(), oldest.created_at)


def find_before(delivery: Delivery) -> Delivery | None:
    """Return what a delivery waits for: the first of its line, or an earlier failed one that stops the line.

    Return None if the delivery is the next, and about to be called.
    """
    line = Delivery.objects.filter(
        destination_id=delivery.destination_id, ordering_key=delivery.ordering_key
    ).exclude(id=delivery.id)
    first = line.filter(state__in=["pending", "sending"], due_at__lt=BEHIND).first()
    earlier = line.filter(event_id__lt=delivery.event_id).order_by("event_id")
    holds = delivery.destination.ordering_policy == "wait"
    failed = earlier.filter(state="failed").first() if holds else None
    return first or failed or earlier.filter(state="pending").first()


def never_sql() -> str:
    """Return the SQL of the moment that never comes, as in the indexes."""
    return NEVER.format("+00" if sql.is_postgresql() else "")


def is_held_sql(which: str = "") -> str:
    """Return the SQL condition that a failed delivery stops the line: its sink has the policy `wait`."""
    return f"""(
        EXISTS (SELECT 1 FROM eventsinks_destination AS sink
                WHERE sink.id = line.destination_id AND sink.ordering_policy = 'wait')
        AND EXISTS (SELECT 1 FROM eventsinks_delivery AS here WHERE {OF_LINE} AND {FAILED} {which}))"""


def split_lines(lines: Collection[DeliveryLine]) -> list[list[DeliveryLine]]:
    """Return the lines, each once and in order, as many at a time as a statement takes."""
    ordered = sorted(set(lines))
    return [ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE)]


def make_relations(lines: Collection[DeliveryLine]) -> list[tuple[str, list[Any]]]:
    """Return the SQL of the relation `line`, and its parameters, for each part of the lines."""
    return [make_relation(some) for some in split_lines(lines)]


def make_relation(lines: Sequence[DeliveryLine]) -> tuple[str, list[Any]]:
    """Return the SQL of a relation `line(destination_id, ordering_key)`, and its parameters."""
    if sql.is_postgresql():
        columns = [[id for id, _ in lines], [key for _, key in lines]]
        return "unnest(%s::bigint[], %s::uuid[]) AS line(destination_id, ordering_key)", columns
    rows = " UNION ALL ".join(["SELECT %s AS destination_id, %s AS ordering_key"] * len(lines))
    return f"({rows}) AS line", [value for id, key in lines for value in (id, key.hex)]


def read_line(row: Sequence[Any]) -> DeliveryLine:
    """Return a line as the database tells it."""
    id, key = row
    return int(id), sql.read_id(key)
