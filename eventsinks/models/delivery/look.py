"""Look: finds due deliveries without reading the ones that are done.

PostgreSQL keeps the index entries of moved rows as long as any transaction may still see them. During a dump,
these are all deliveries that were sent meanwhile. So a dispatcher remembers, for the busiest lanes, from which
`due_at` on deliveries may be open, and begins there. About once a second, a full look finds older due deliveries,
which come from a slow transaction or a clock that was set back.

SQLite cleans its index at once and needs none of this.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from eventsinks.models.database import sql
from eventsinks.models.database.arrays import fetch_bound_rows
from eventsinks.models.delivery.claim import (
    EVER,
    ClaimedDelivery,
    Lane,
    columns_of_sink_sql,
    find_due_lanes,
    make_lane,
    may_be_sent_sql,
)
from eventsinks.models.delivery.row import OPEN
from eventsinks.models.destination import list_types

FULL = 1.0  # seconds between two full looks, at least,
FULL_PART = 20  # and so many times its duration: full looks use a twentieth of the time at most
BUSY = 200  # claimed deliveries after which a lane is remembered: fewer are read quickly
MOST = 1000  # remembered lanes; the most recently claimed ones stay
IDLE = 3600.0  # seconds without a claim after which a lane is forgotten
SLACK = "interval '1 second'"  # a running commit may be older by so much than the visible rows


class Lookout:
    """What one dispatcher remembers of its lanes. A lane's code is 256 * its destination's id + its tries."""

    def __init__(self) -> None:
        self._claimed: dict[int, int] = {}  # counts by lane code; the last claimed lane is last
        self._claimed_at: dict[int, float] = {}
        self._since: dict[int, datetime] = {}  # by code of a busy lane: deliveries may be open from here on
        self._full_at = 0.0

    def due_lanes(self, max_tries: int) -> list[Lane]:
        """Return the lanes of event sinks with due deliveries, like `find_due_lanes`."""
        if not sql.is_postgresql():
            return find_due_lanes(max_tries)
        began = time.monotonic()
        is_full = began >= self._full_at
        since = dict.fromkeys(self._since, EVER) if is_full else self._since
        rows = look_at_lanes(list(since), list(since.values()), max_tries)
        if is_full:
            ended = time.monotonic()
            self._full_at = ended + max(FULL, FULL_PART * (ended - began))
        lanes = []
        for code, due_at, alive_since, *of_sink in rows:
            if code in self._since:
                self._since[code] = alive_since
            if due_at is not None and of_sink[0] is not None:
                lanes.append(make_lane(code // 256, code % 256, of_sink, due_at))
        return lanes

    def note(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Remember the lanes from which many are claimed, and the lanes that these moved to."""
        if not sql.is_postgresql():
            return
        now = time.monotonic()
        counts = Counter([one.destination_id * 256 + one.tries for one in claimed])
        for went_to, count in counts.items():
            for code in (went_to - 1, went_to):
                self._claimed[code] = self._claimed.pop(code, 0) + count
                self._claimed_at[code] = now
                if self._claimed[code] >= BUSY:
                    self._since.setdefault(code, EVER)
        self._forget(now - IDLE)

    def _forget(self, idle_since: float) -> None:
        for code in list(self._claimed):
            if len(self._claimed) <= MOST and self._claimed_at[code] >= idle_since:
                break
            del self._claimed[code], self._claimed_at[code]
            self._since.pop(code, None)


def look_at_lanes(codes: Sequence[int], since: Sequence[datetime], max_tries: int) -> list[tuple[Any, ...]]:
    """Return (code, due_at, since, columns of the sink …) of the lanes `codes`, and of others that are due.

    `due_at` is that of the first due delivery, None if there is none. Deliveries may be open from `since` on. The
    rest is of the sink, None if it may not get messages now. Between the known lanes it jumps from lane to lane in
    the index.
    """
    statement = f"""
        WITH RECURSIVE known AS MATERIALIZED (
            SELECT code, since FROM unnest(%b::bigint[], %b::timestamptz[]) AS known(code, since)),
        gap(start, stop) AS MATERIALIZED (
            SELECT code + 1, lead(code, 1, {2**62}) OVER (ORDER BY code)
            FROM (SELECT code FROM known UNION ALL SELECT -1) AS known),
        unknown(code, stop) AS (
            SELECT ({first_lane_sql("gap.start", "gap.stop")}), gap.stop FROM gap WHERE gap.start < gap.stop
            UNION ALL
            SELECT ({first_lane_sql("unknown.code + 1", "unknown.stop")}), unknown.stop
            FROM unknown WHERE unknown.code IS NOT NULL),
        lane AS (
            SELECT code, since, true AS is_known FROM known
            UNION ALL SELECT code, %b, false FROM unknown WHERE code IS NOT NULL)
        SELECT lane.code, first.due_at, least(first.due_at, {sql.now_sql()} - {SLACK}),
            {columns_of_sink_sql()}
        FROM lane
        LEFT JOIN LATERAL (
            SELECT due_at FROM eventsinks_delivery
            WHERE {OPEN} AND destination_id = lane.code / 256 AND tries = lane.code %% 256
              AND due_at >= lane.since AND due_at <= {sql.now_sql()}
            ORDER BY due_at LIMIT 1) AS first ON true
        LEFT JOIN eventsinks_destination AS sink ON sink.id = lane.code / 256
            AND lane.code %% 256 < %b AND sink.state = 'active' AND sink.deleted_at IS NULL
            AND sink.type = ANY(%b::text[])
            AND {may_be_sent_sql()}
        WHERE lane.is_known OR (first.due_at IS NOT NULL AND sink.id IS NOT NULL)"""
    return fetch_bound_rows(statement, [codes, since, EVER, max_tries, list_types("event_sink")])


def first_lane_sql(start: str, stop: str) -> str:
    """Return the SQL of the first lane with open deliveries from the code `start` on, before `stop`."""
    return f"""
        SELECT destination_id * 256 + tries FROM eventsinks_delivery
        WHERE {OPEN} AND (destination_id, tries) >= (({start}) / 256, ({start}) %% 256)
          AND (destination_id, tries) < (({stop}) / 256, ({stop}) %% 256)
        ORDER BY destination_id, tries LIMIT 1"""
