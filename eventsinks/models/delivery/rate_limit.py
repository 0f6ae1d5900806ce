"""Rate limit: how many messages a second all workers together send under one rate key, or to one sink.

Several destinations may share a rate key, such as a channel of a Slack workspace (the column is called `place`).
One worker at a time leases the key and sends one message. The key is free again one interval after the message was
sent.

A tenant sets a limit for a sink. One worker at a time claims for the sink, at most what it takes in a second. Then
the sink rests for as long as these messages take.

If a worker dies, what it leased is free again when the lease ends.

Nobody waits here for a row that another process has locked. The key or sink rests until the row is free.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from eventsinks.models.database import sql


def lease_rate_keys(keys: Collection[str], lease_seconds: float) -> set[str]:
    """Lease each of `keys` that is free. Return the leased ones.

    If a row of a key is locked, another row of the key keeps the lease. If all are locked, there is no lease.
    """
    if not keys:
        return set()
    with transaction.atomic():
        ours = find_unasked(keys)
        marks = ", ".join(["%s"] * len(ours)) or "NULL"
        taken = sql.fetch_rows(
            f"""UPDATE eventsinks_destination SET paced_until = {sql.in_seconds_sql()}
                WHERE id IN (
                    SELECT id FROM eventsinks_destination AS here
                    WHERE place IN ({marks}) AND deleted_at IS NULL AND NOT EXISTS (
                        SELECT 1 FROM eventsinks_destination AS there
                        WHERE there.place = here.place AND there.paced_until > {sql.now_sql()}
                          AND there.deleted_at IS NULL)
                    ORDER BY id {sql.skip_locked_sql()})
                RETURNING place""",
            [lease_seconds, *ours],
        )
    return {key for (key,) in taken}


def find_unasked(keys: Collection[str]) -> list[str]:
    """Return those of `keys` that no other process is about to lease, until the transaction ends."""
    if not sql.is_postgresql():
        return sorted(keys)
    # An advisory lock stands for the key, because any of its rows may be locked by others.
    return [
        key
        for key in sorted(keys)
        if sql.fetch_rows("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [key]) == [(True,)]
    ]


def free_rate_key(key: str, pause: float) -> bool:
    """Free the key after `pause` seconds. Return whether this is written to all its rows."""
    ended = sql.fetch_rows(
        f"""UPDATE eventsinks_destination SET paced_until = {sql.in_seconds_sql()}
            WHERE id IN (
                SELECT id FROM eventsinks_destination WHERE place = %s ORDER BY id {sql.skip_locked_sql()}
            )
            RETURNING id""",
        [pause, key],
    )
    ((all_of_them,),) = sql.fetch_rows("SELECT count(*) FROM eventsinks_destination WHERE place = %s", [key])
    return len(ended) >= int(all_of_them)


def lease_limited_sinks(ids: Collection[int], lease_seconds: float) -> set[int]:
    """Lease each of the limited sinks `ids` for one claim. Return the leased ones."""
    if not ids:
        return set()
    marks = ", ".join(["%s"] * len(ids))
    taken = sql.fetch_rows(
        f"""UPDATE eventsinks_destination SET limited_until = {sql.in_seconds_sql()}
            WHERE id IN (
                SELECT id FROM eventsinks_destination
                WHERE id IN ({marks}) AND (limited_until IS NULL OR limited_until <= {sql.now_sql()})
                ORDER BY id {sql.skip_locked_sql()})
            RETURNING id""",
        [lease_seconds, *sorted(ids)],
    )
    return {id for (id,) in taken}


def free_limited_sink(destination_id: int, pause: float) -> bool:
    """Allow the next claim for a limited sink after `pause` seconds. Return whether this is written."""
    return bool(
        sql.fetch_rows(
            f"""UPDATE eventsinks_destination SET limited_until = {sql.in_seconds_sql()}
                WHERE id IN (SELECT id FROM eventsinks_destination WHERE id = %s {sql.skip_locked_sql()})
                RETURNING id""",
            [pause, destination_id],
        )
    )
