"""Claim: takes due deliveries for a limited time. They move from pending to sending.

A delivery in state sending is due again when its lease runs out. A lane is the open deliveries of one sink after
the same number of tries. Claims are shared out by lane: each sink gets its share, and within a sink, retries do
not starve first tries.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from django.db import transaction

from eventsinks.models.database import sql
from eventsinks.models.database.arrays import fetch_bound_rows
from eventsinks.models.delivery.row import OPEN
from eventsinks.models.destination import list_types
from eventsinks.models.event import Event

EVER = datetime(1, 1, 1, tzinfo=UTC)


class Lane(NamedTuple):
    """A sink's due deliveries after `tries` tries. `version` is that of the sink's configuration.

    `rate_key` is set if only so many messages a second go out under it. `rate` is the tenant's limit in messages a
    second, 0 without a limit. `due_at` is that of the first delivery; a claim takes nothing older. `doubts` counts
    how often in a row the far end refused the sink's credentials or address. `watched`: something failed there
    lately. While the sink's `breaker` is in its ramp, the ramp has gone on for `ramp_s` seconds.
    """

    destination_id: int
    tries: int
    version: int
    rate_key: str = ""
    rate: float = 0.0
    due_at: datetime | None = None
    doubts: int = 0
    watched: bool = False
    breaker: str = "closed"
    ramp_s: float = 0.0


class ClaimedDelivery(NamedTuple):
    """A delivery that this worker holds, with its event. `tries` includes the coming try."""

    id: uuid.UUID
    destination_id: int
    tries: int
    lease: uuid.UUID
    event_id: int
    tenant_id: uuid.UUID
    event_type: str
    occurred_at: datetime
    data: bytes | memoryview
    fallback_of: uuid.UUID | None = None
    ordering_key: uuid.UUID | None = None
    phase: int | None = None  # one of row.Phase, if it belongs to an incident
    replayed: bool = False


# Jumps from lane to lane in the index: the cost depends on the lanes, not on the backlog. (`>=` the next number
# of tries: with `>` this one, SQLite would read the rest of the lane.)
OPEN_LANES = f"""
    RECURSIVE lane(code) AS (
        SELECT * FROM (
            SELECT destination_id * 256 + tries FROM eventsinks_delivery
            WHERE {OPEN} ORDER BY destination_id, tries LIMIT 1) AS first
        UNION ALL
        SELECT (
            SELECT destination_id * 256 + tries FROM eventsinks_delivery
            WHERE {OPEN} AND (destination_id, tries) >= (lane.code / 256, lane.code %% 256 + 1)
            ORDER BY destination_id, tries LIMIT 1)
        FROM lane WHERE lane.code IS NOT NULL)"""

# When the first delivery of the lane is due.
FIRST_DUE = f"""SELECT due_at FROM eventsinks_delivery
    WHERE {OPEN} AND destination_id = sink.id AND tries = lane.code %% 256 ORDER BY due_at LIMIT 1"""


def find_due_lanes(max_tries: int, face: str = "event_sink") -> list[Lane]:
    """Return the lanes with due deliveries, of destinations with this face that may get messages now."""
    types = list_types(face)
    statement = f"""
        WITH {OPEN_LANES}
        SELECT sink.id, lane.code %% 256, ({FIRST_DUE}), {columns_of_sink_sql()}
        FROM lane JOIN eventsinks_destination sink ON sink.id = lane.code / 256
        WHERE lane.code %% 256 < %s AND sink.state = 'active' AND sink.deleted_at IS NULL
          AND sink.type IN ({", ".join(["%s"] * len(types))})
          AND {may_be_sent_sql()}
          AND ({FIRST_DUE}) <= {sql.now_sql()}"""
    rows = sql.fetch_rows(statement, [max_tries, *types])
    return [make_lane(sink, tries, of_sink, read_moment(due_at)) for sink, tries, due_at, *of_sink in rows]


def read_moment(value: datetime | str) -> datetime:
    """Return a moment as either database gives it, in UTC."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def columns_of_sink_sql() -> str:
    """Return the SQL of what a lane tells of its sink, in the order of `make_lane`."""
    ramp = sql.seconds_since_sql("sink.breaker_at")
    return f"""sink.version, sink.place, coalesce(sink.rate_limit_per_s, 0), sink.doubts,
            sink.trouble_since IS NOT NULL OR sink.breaker <> 'closed', sink.breaker,
            CASE WHEN sink.breaker = 'ramp' THEN {ramp} END"""


def may_be_sent_sql() -> str:
    """Return the SQL condition that nothing holds the sink at this moment."""
    now = sql.now_sql()
    return f"""(sink.held_until IS NULL OR sink.held_until <= {now})
          AND (sink.paced_until IS NULL OR sink.paced_until <= {now})
          AND (sink.limited_until IS NULL OR sink.limited_until <= {now})
          AND (sink.breaker <> 'half_open' OR sink.probes > 0 OR sink.breaker_at <= {now})"""


def make_lane(destination_id: int, tries: int, of_sink: Sequence[Any], due_at: datetime | None = None) -> Lane:
    """Return a lane. `of_sink` are the columns of `columns_of_sink_sql`."""
    version, rate_key, rate, doubts, watched, breaker, ramp_s = of_sink
    told = (doubts, bool(watched), breaker, ramp_s or 0.0)
    return Lane(destination_id, tries, version, rate_key, rate, due_at, *told)


def claim(quotas: Sequence[tuple[Lane, int]], lease_seconds: float) -> list[ClaimedDelivery]:
    """Claim at most `quota` due deliveries of each lane, oldest first, for `lease_seconds`."""
    lease = uuid.uuid4()
    take = _claim_on_postgresql if sql.is_postgresql() else _claim_on_sqlite
    taken = take(quotas, lease, lease_seconds)
    events = {row[0]: row[1:] for row in read_events({event_id for _, event_id, *_ in taken})}
    return [
        ClaimedDelivery(
            id, destination_id, tries, lease, event_id, *events[event_id], parent, key, phase, replayed
        )
        for id, event_id, destination_id, tries, parent, key, phase, replayed in taken
        if event_id in events
    ]


EventRow = tuple[int, uuid.UUID, str, datetime, bytes | memoryview]


def read_events(ids: Collection[int]) -> Iterable[EventRow]:
    """Return what a claim tells of these events: (id, tenant, type, moment, data) of each."""
    columns = ("id", "tenant_id", "type", "occurred_at", "data")
    if not sql.is_postgresql():
        return Event.objects.filter(id__in=ids, expunged_at=None).values_list(*columns)
    # One parameter; Django would write each id into the statement.
    statement = (
        f"SELECT {', '.join(columns)} FROM eventsinks_event WHERE id = ANY(%b::bigint[]) AND expunged_at IS NULL"
    )
    return cast(list[EventRow], fetch_bound_rows(statement, [list(ids)]))


ClaimRows = list[tuple[uuid.UUID, int, int, int, uuid.UUID | None, uuid.UUID | None, int | None, bool]]

# The parts of the claim that both databases share: which rows of a lane are due, how they move, and the columns
# to return. PostgreSQL claims all lanes in one statement and skips locked rows. SQLite has no LATERAL and one
# writer: it claims one lane after the other.
DUE = f"""{OPEN} AND destination_id = {{destination_id}} AND tries = {{tries}} AND due_at <= {{now}}"""
MOVE = "state = 'sending', lease = {lease}, tries = tries + 1, due_at = {lease_ends}"
CLAIMED = (
    *("id", "event_id", "destination_id", "tries", "fallback_of"),
    *("ordering_key", "phase", "replayed"),
)


def _claim_on_postgresql(quotas: Sequence[tuple[Lane, int]], lease: uuid.UUID, lease_seconds: float) -> ClaimRows:
    due = DUE.format(destination_id="lane.destination_id", tries="lane.tries", now=sql.now_sql())
    move = MOVE.format(lease="%b", lease_ends=f"{sql.now_sql()} + %b::float8 * interval '1 second'")
    statement = f"""
        WITH due AS (
            SELECT delivery.id
            FROM unnest(%b::bigint[], %b::smallint[], %b::int[], %b::timestamptz[])
                AS lane(destination_id, tries, quota, since)
            CROSS JOIN LATERAL (
                SELECT id FROM eventsinks_delivery WHERE {due} AND due_at >= lane.since
                ORDER BY due_at LIMIT lane.quota FOR UPDATE SKIP LOCKED) AS delivery)
        UPDATE eventsinks_delivery AS delivery SET {move}
        FROM due WHERE delivery.id = due.id
        RETURNING {", ".join(f"delivery.{column}" for column in CLAIMED)}"""
    columns = [
        [lane.destination_id for lane, _ in quotas],
        [lane.tries for lane, _ in quotas],
        [quota for _, quota in quotas],
        [lane.due_at or EVER for lane, _ in quotas],
    ]
    return fetch_bound_rows(statement, [*columns, lease, lease_seconds])


def _claim_on_sqlite(quotas: Sequence[tuple[Lane, int]], lease: uuid.UUID, lease_seconds: float) -> ClaimRows:
    due = DUE.format(destination_id="%s", tries="%s", now=sql.now_sql())
    move = MOVE.format(lease="%s", lease_ends=sql.in_seconds_sql())
    statement = f"""
        UPDATE eventsinks_delivery SET {move}
        WHERE id IN (SELECT id FROM eventsinks_delivery WHERE {due} ORDER BY due_at LIMIT %s)
        RETURNING {", ".join(CLAIMED)}"""
    taken: ClaimRows = []
    with transaction.atomic():
        for lane, quota in quotas:
            parameters = [lease.hex, lease_seconds, lane.destination_id, lane.tries, quota]
            for id, *numbers, parent, key, phase, replayed in sql.fetch_rows(statement, parameters):
                ids = [uuid.UUID(text) if text else None for text in (parent, key)]
                taken.append((uuid.UUID(id), *numbers, *ids, phase, bool(replayed)))
    return taken
