"""Turns and limits: how many messages a second go to a place or a sink, over all workers.

A place is what several destinations may share: a channel of a Slack workspace. At most one worker sends there, one
message at a time. Whoever has the turn has it until the message is sent and the pause after it is over.

A limit is what a tenant wants of a sink. One worker at a time claims for it, at most what the sink takes in a
second, and the sink is left alone for as long as that takes.

What a worker that dies has taken is free again when its lease would be.

Nobody waits here for a row that somebody else has locked: what it is needed for is left alone until it is free.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from eventsinks.models.database import sql


def take_turns(places: Collection[str], lease_seconds: float) -> set[str]:
    """Take the turn at each of `places` that is free. Return those that were.

    A locked row of a place is passed by as long as another one can keep the turn; with none there is no turn.
    """
    if not places:
        return set()
    with transaction.atomic():
        ours = find_unasked(places)
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
    return {place for (place,) in taken}


def find_unasked(places: Collection[str]) -> list[str]:
    """Return those of `places` whose turn nobody else is about to take, until the transaction ends."""
    if not sql.is_postgresql():
        return sorted(places)
    # Of rows that may be locked by anybody none can stand for the place.
    return [
        place
        for place in sorted(places)
        if sql.fetch_rows("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [place]) == [(True,)]
    ]


def end_turn(place: str, pause: float) -> bool:
    """Let the next one have the turn after `pause` seconds. Return whether that is written everywhere."""
    ended = sql.fetch_rows(
        f"""UPDATE eventsinks_destination SET paced_until = {sql.in_seconds_sql()}
            WHERE id IN (
                SELECT id FROM eventsinks_destination WHERE place = %s ORDER BY id {sql.skip_locked_sql()}
            )
            RETURNING id""",
        [pause, place],
    )
    ((all_of_them,),) = sql.fetch_rows("SELECT count(*) FROM eventsinks_destination WHERE place = %s", [place])
    return len(ended) >= int(all_of_them)


def take_limited(ids: Collection[int], lease_seconds: float) -> set[int]:
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


def end_limited(destination_id: int, pause: float) -> bool:
    """Let the next claim for a sink that has a limit be after `pause` seconds. Return whether that is written."""
    return bool(
        sql.fetch_rows(
            f"""UPDATE eventsinks_destination SET limited_until = {sql.in_seconds_sql()}
                WHERE id IN (SELECT id FROM eventsinks_destination WHERE id = %s {sql.skip_locked_sql()})
                RETURNING id""",
            [pause, destination_id],
        )
    )
