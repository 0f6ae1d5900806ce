"""Settle: records the results of many sends at once. Deliveries move from sending to delivered, pending or failed.

A worker moves a row only if the row still has the worker's lease. A worker that lost its lease writes its attempt
as evidence and moves nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from eventsinks.lib.net.wire import Timings
from eventsinks.models import counting
from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Floats, Uuids, fetch_bound_rows
from eventsinks.models.delivery.claim import ClaimedDelivery
from eventsinks.models.delivery.row import Delivery
from eventsinks.models.delivery.settled import tally_settled


class Settlement(NamedTuple):
    """The result of one try: the new state of the delivery, and the attempt's data.

    `state` is `delivered`, `pending` or `failed`; `pause` is the number of seconds until it is due again.
    `given_back` is 1 if the try does not count, because the sink and not this delivery was at fault.
    """

    claimed: ClaimedDelivery
    attempt_id: uuid.UUID
    state: str
    outcome: str
    started_at: datetime
    pause: float = 0.0
    given_back: int = 0
    status: int | None = None
    reason: str = ""
    excerpt: str = ""
    peer: str = ""
    timings: Timings = Timings()


def settle(settlements: Sequence[Settlement]) -> int:
    """Record and count all of them in one transaction. Return how many moved; the rest were no longer ours.

    A second call changes nothing: the lease guards the moves, the ids guard the attempts.
    """
    if not settlements:
        return 0
    return (_settle_on_postgresql if sql.is_postgresql() else _settle_on_sqlite)(settlements)


def settle_free(settlements: Sequence[Settlement]) -> int:
    """Settle, but skip deliveries that another process has locked. On SQLite that is all of them.

    It costs more than `settle`.
    """
    return _settle_on_postgresql(settlements, FREE) if sql.is_postgresql() else 0


def find_still_held(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return those whose deliveries are still ours and not settled."""
    ids = [s.claimed.id for s in settlements]
    held = dict(Delivery.objects.filter(id__in=ids).values_list("id", "lease"))  # only a sending one has a lease
    return [s for s in settlements if held.get(s.claimed.id) == s.claimed.lease]


FREE = """AND delivery.id IN (
    SELECT free.id FROM tried JOIN eventsinks_delivery AS free ON free.id = tried.delivery_id
    FOR NO KEY UPDATE OF free SKIP LOCKED)"""

ATTEMPT_COLUMNS = (
    "id, delivery_id, number, started_at, outcome, status, reason, excerpt, peer, "
    "dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms"
)

# The attempt of a deleted delivery is not kept. If its worker has lost it, the answer is not: it may be expunged.
KEPT_COLUMNS = (
    "tried.id, tried.delivery_id, number, tried.started_at, tried.outcome, tried.status, tried.reason, "
    "CASE WHEN its.lease = tried.lease THEN excerpt ELSE '' END, peer, "
    "dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms"
)

# The SQL of a move that both databases share. PostgreSQL moves all deliveries in one statement, with
# an array for each value. SQLite moves one after the other.
MOVE = """state = {state}, lease = NULL, tries = delivery.tries - {given_back}, due_at = {due_at},
    status = {status}, reason = {reason}, settled_at = CASE WHEN {state} = 'pending' THEN NULL ELSE {now} END"""

# Nearly always all of them move, and the process has counted that before. If not, PostgreSQL counts what it wrote,
# without the time that it took.
ALL = "(SELECT count(*) FROM moved) = %b"
COUNTED = counting.insert_sql(
    f"""SELECT * FROM {counting.GIVEN} WHERE {ALL}
        UNION ALL SELECT sink.tenant_id, sink.id, moved.state, {counting.slot_sql("moved.id")}, 1
        FROM moved JOIN eventsinks_destination AS sink ON sink.id = moved.destination_id
        WHERE moved.state <> 'pending' AND NOT {ALL}"""
)


def _settle_on_postgresql(settlements: Sequence[Settlement], which: str = "") -> int:
    """Send what many settlements have in common only once, as verdicts that the rows refer to.

    The condition on the state is written so that no index matches it. On tables that were never analysed,
    PostgreSQL would otherwise read all open rows instead of looking up each id.
    """
    values = {name: f"tried.{name}" for name in ("state", "given_back", "status", "reason")}
    due_at = f"{sql.now_sql()} + tried.pause * interval '1 second'"
    move = MOVE.format(**values, due_at=due_at, now=sql.now_sql())
    statement = f"""
        WITH tried AS MATERIALIZED (
            SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::int[],
                %b::float8[], %b::float8[], %b::float8[], %b::float8[], %b::float8[])
            AS tried(id, delivery_id, lease, verdict, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms)
            JOIN unnest(%b::smallint[], %b::timestamptz[], %b::text[], %b::smallint[],
                %b::text[], %b::text[], %b::text[], %b::text[], %b::float8[], %b::smallint[]) WITH ORDINALITY
            AS verdict(number, started_at, outcome, status,
                reason, excerpt, peer, state, pause, given_back, place) ON verdict.place = tried.verdict),
        kept AS (
            INSERT INTO eventsinks_attempt ({ATTEMPT_COLUMNS})
            SELECT {KEPT_COLUMNS} FROM tried JOIN eventsinks_delivery AS its ON its.id = tried.delivery_id
            ON CONFLICT DO NOTHING),
        moved AS (
            UPDATE eventsinks_delivery AS delivery
            SET {move}
            FROM tried
            WHERE delivery.id = tried.delivery_id AND delivery.lease = tried.lease
              AND delivery.state || '' = 'sending'
              {which}
            RETURNING delivery.id, delivery.destination_id, delivery.state),
        counted AS ({COUNTED})
        SELECT count(*) FROM moved"""
    places: dict[tuple[Any, ...], int] = {}
    verdicts = [places.setdefault(_verdict(s), len(places) + 1) for s in settlements]
    milliseconds = zip(*[_milliseconds(s.timings) for s in settlements], strict=True)
    parameters = [
        Uuids(s.attempt_id for s in settlements),
        Uuids(s.claimed.id for s in settlements),
        Uuids(s.claimed.lease for s in settlements),
        verdicts,
        *map(Floats, milliseconds),
        *map(list, zip(*places, strict=True)),
        *counting.list_columns(tally_settled(settlements)),
        *[len(settlements)] * 2,
    ]
    ((moved,),) = fetch_bound_rows(statement, parameters)
    return int(moved)


def _verdict(settlement: Settlement) -> tuple[Any, ...]:
    """Return the part that many settlements have in common."""
    s = settlement
    return (
        *(s.claimed.tries, s.started_at, s.outcome, s.status, s.reason),
        *(s.excerpt, s.peer, s.state, s.pause, s.given_back),
    )


def _milliseconds(timings: Timings) -> tuple[float, ...]:
    return tuple([seconds * 1000 for seconds in timings])


class _SomeAreNotOurs(Exception):
    """Some deliveries moved, and others did not."""


def _settle_on_sqlite(settlements: Sequence[Settlement]) -> int:
    try:
        with transaction.atomic():
            moved = _write_on_sqlite(settlements)
            if 0 < moved < len(settlements):
                raise _SomeAreNotOurs
            counting.add(tally_settled(settlements) if moved else {})
            return moved
    except _SomeAreNotOurs:  # rare: one by one tells which
        return sum(_settle_on_sqlite([one]) for one in settlements)


def _write_on_sqlite(settlements: Sequence[Settlement]) -> int:
    """Write attempts and moves. Return how many deliveries moved."""
    moves = [
        (s.state, s.given_back, s.pause, s.status, s.reason, s.state, s.claimed.id.hex, s.claimed.lease.hex)
        for s in settlements
    ]
    values = dict.fromkeys(("state", "given_back", "status", "reason"), "%s")
    move = MOVE.format(**values, due_at=sql.in_seconds_sql(), now=sql.now_sql())
    places = ", ".join(["%s"] * len(ATTEMPT_COLUMNS.split(",")))
    attempts = [
        (id.hex, delivery_id.hex, number, f"{started_at:%Y-%m-%d %H:%M:%S.%f}", *rest)
        for id, delivery_id, number, started_at, *rest in map(_attempt, _find_kept(settlements))
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO eventsinks_attempt ({ATTEMPT_COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING",
            attempts,
        )
        cursor.executemany(
            f"""UPDATE eventsinks_delivery AS delivery SET {move}
                WHERE id = %s AND lease = %s AND state = 'sending'""",
            moves,
        )
        return int(cursor.rowcount)


def _find_kept(settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return those whose attempt is kept, without the answer where the lease was lost (see KEPT_COLUMNS)."""
    leases = dict(Delivery.objects.filter(id__in=[s.claimed.id for s in settlements]).values_list("id", "lease"))
    return [
        s if leases[s.claimed.id] == s.claimed.lease else s._replace(excerpt="")
        for s in settlements
        if s.claimed.id in leases
    ]


def _attempt(settlement: Settlement) -> tuple[Any, ...]:
    """Return the attempt's row, in the order of ATTEMPT_COLUMNS."""
    s, claimed = settlement, settlement.claimed
    return (
        *(s.attempt_id, claimed.id, claimed.tries, s.started_at, s.outcome, s.status, s.reason, s.excerpt, s.peer),
        *_milliseconds(s.timings),
    )
