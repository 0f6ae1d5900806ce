"""Rate limits: how many messages a second go out under one rate key, or to one sink, over all workers.

A rate key is what several destinations may share: a channel of a Slack workspace (the column is called `place`).
One worker at a time leases the key and sends one message. The key is free again when the message is sent and the
interval after it is over.

A limit is what a tenant wants of a sink. One worker at a time claims for it, at most what the sink takes in a
second. Then the sink is left alone for as long as that takes.

What a worker that dies has taken is free again when its lease would be.

Nobody waits here for a row that somebody else has locked: what it is needed for is left alone until it is free.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from eventsinks.models.database import sql


def lease_rate_keys(keys: Collection[str], lease_seconds: float) -> set[str]:
    """Lease each of `keys` that is free. Return those that were.

    A locked row of a key is passed by as long as another row can keep the lease. With none there is no lease.
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
    """Return those of `keys` that nobody else is about to lease, until the transaction ends."""
    if not sql.is_postgresql():
        return sorted(keys)
    # Of rows that may be locked by anybody none can stand for the key.
    return [
        key
        for key in sorted(keys)
        if sql.fetch_rows("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [key]) == [(True,)]
    ]


def free_rate_key(key: str, pause: float) -> bool:
    """Let the next one lease the key after `pause` seconds. Return whether that is written everywhere."""
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
    """Take each of the sinks `ids`, which have a limit, for one claim. Return those that could be taken."""
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
    """Let the next claim for a sink that has a limit be after `pause` seconds. Return whether that is written."""
    return bool(
        sql.fetch_rows(
            f"""UPDATE eventsinks_destination SET limited_until = {sql.in_seconds_sql()}
                WHERE id IN (SELECT id FROM eventsinks_destination WHERE id = %s {sql.skip_locked_sql()})
                RETURNING id""",
            [pause, destination_id],
        )
    )
