"""Settle: record what came of many sends at once. sending -> delivered, pending or failed.

Only the worker whose lease the row still carries moves it; one that lost its lease leaves its attempt as evidence
and moves nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction

from eventsinks.lib.wire import Timings
from eventsinks.models import sql
from eventsinks.models.delivery.claim import Claimed


class Settlement(NamedTuple):
    """What came of one try: where the delivery goes, and the evidence.

    `state` is `delivered`, `pending` or `failed`; `pause` the seconds until it is due again; `given_back` is 1
    where the try does not count, because the sink and not this delivery was at fault.
    """

    claimed: Claimed
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
    """Record all of them in one transaction. Return how many deliveries moved; the rest were not ours any more.

    Doing it twice is as good as once: the moves are guarded by the lease, the attempts by their ids.
    """
    if not settlements:
        return 0
    return (_settle_on_postgresql if sql.is_postgresql() else _settle_on_sqlite)(settlements)


ATTEMPT_COLUMNS = (
    "id, delivery_id, number, started_at, outcome, status, reason, excerpt, peer, "
    "dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms"
)


def _settle_on_postgresql(settlements: Sequence[Settlement]) -> int:
    statement = f"""
        WITH tried AS (
            INSERT INTO eventsinks_attempt ({ATTEMPT_COLUMNS})
            SELECT * FROM unnest(
                %b::uuid[], %b::uuid[], %b::smallint[], %b::timestamptz[], %b::text[], %b::smallint[], %b::text[],
                %b::text[], %b::text[], %b::float8[], %b::float8[], %b::float8[], %b::float8[], %b::float8[])
            ON CONFLICT DO NOTHING)
        UPDATE eventsinks_delivery AS delivery
        SET state = move.state, lease = NULL, tries = delivery.tries - move.given_back,
            due_at = {sql.now()} + move.pause * interval '1 second', status = move.status, reason = move.reason,
            settled_at = CASE WHEN move.state = 'pending' THEN NULL ELSE {sql.now()} END
        FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::float8[], %b::smallint[], %b::smallint[], %b::text[])
            AS move(id, lease, state, pause, given_back, status, reason)
        WHERE delivery.id = move.id AND delivery.lease = move.lease AND delivery.state = 'sending'
        RETURNING delivery.id"""
    attempts = zip(*map(_attempt, settlements), strict=True)
    moves = zip(
        *(
            (s.claimed.id, s.claimed.lease, s.state, s.pause, s.given_back, s.status, s.reason)
            for s in settlements
        ),
        strict=True,
    )
    return len(sql.bound_rows(statement, [list(column) for column in (*attempts, *moves)]))


def _settle_on_sqlite(settlements: Sequence[Settlement]) -> int:
    moves = [
        (
            s.state,
            s.given_back,
            s.pause,
            s.status,
            s.reason,
            s.state,
            s.claimed.id.hex,
            s.claimed.lease.hex,
        )
        for s in settlements
    ]
    attempts = [
        (id.hex, delivery_id.hex, number, f"{started_at:%Y-%m-%d %H:%M:%S.%f}", *rest)
        for id, delivery_id, number, started_at, *rest in map(_attempt, settlements)
    ]
    places = ", ".join(["%s"] * len(attempts[0]))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO eventsinks_attempt ({ATTEMPT_COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING",
            attempts,
        )
        cursor.executemany(
            f"""
            UPDATE eventsinks_delivery
            SET state = %s, lease = NULL, tries = tries - %s, due_at = {sql.in_seconds()},
                status = %s, reason = %s,
                settled_at = CASE WHEN %s = 'pending' THEN NULL ELSE {sql.now()} END
            WHERE id = %s AND lease = %s AND state = 'sending'""",
            moves,
        )
        return int(cursor.rowcount)


def _attempt(
    settlement: Settlement,
) -> tuple[uuid.UUID, uuid.UUID, int, datetime, str, int | None, str, str, str, float, float, float, float, float]:
    """Return the row of evidence, in the order of ATTEMPT_COLUMNS."""
    timings = settlement.timings
    return (
        settlement.attempt_id,
        settlement.claimed.id,
        settlement.claimed.tries,
        settlement.started_at,
        settlement.outcome,
        settlement.status,
        settlement.reason,
        settlement.excerpt,
        settlement.peer,
        timings.dns * 1000,
        timings.connect * 1000,
        timings.tls * 1000,
        timings.first_byte * 1000,
        timings.total * 1000,
    )
