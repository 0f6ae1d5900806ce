"""Turns and limits: how many messages a second go to a place or a sink, over all workers.

A place is what several destinations may share: a channel of a Slack workspace. At most one worker sends there, one
message at a time. Whoever has the turn has it until the message is sent and the pause after it is over.

A limit is what a tenant wants of a sink. One worker at a time claims for it, at most what the sink takes in a
second, and the sink is left alone for as long as that takes.

What a worker that dies has taken is free again when its lease would be.

Rows are locked in the order of their ids, so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection

from eventsinks.models import sql


def take_turns(places: Collection[str], lease_seconds: float) -> set[str]:
    """Take the turn at each of `places` that is free. Return those that were."""
    if not places:
        return set()
    marks = ", ".join(["%s"] * len(places))
    taken = sql.rows(
        f"""UPDATE eventsinks_destination SET paced_until = {sql.in_seconds()}
            WHERE id IN (SELECT id FROM eventsinks_destination
                         WHERE place IN ({marks}) AND deleted_at IS NULL ORDER BY id {sql.locked()})
              AND (paced_until IS NULL OR paced_until <= {sql.now()}) RETURNING place""",
        [lease_seconds, *sorted(places)],
    )
    return {place for (place,) in taken}


def end_turn(place: str, pause: float) -> None:
    """Let the next one have the turn after `pause` seconds."""
    sql.rows(
        f"""UPDATE eventsinks_destination SET paced_until = {sql.in_seconds()}
            WHERE id IN (SELECT id FROM eventsinks_destination WHERE place = %s ORDER BY id {sql.locked()})
            RETURNING id""",
        [pause, place],
    )


def take_limited(ids: Collection[int], lease_seconds: float) -> set[int]:
    """Take each of the sinks `ids`, which have a limit, for one claim. Return those that could be taken."""
    if not ids:
        return set()
    marks = ", ".join(["%s"] * len(ids))
    taken = sql.rows(
        f"""UPDATE eventsinks_destination SET limited_until = {sql.in_seconds()}
            WHERE id IN (SELECT id FROM eventsinks_destination WHERE id IN ({marks}) ORDER BY id {sql.locked()})
              AND (limited_until IS NULL OR limited_until <= {sql.now()}) RETURNING id""",
        [lease_seconds, *sorted(ids)],
    )
    return {id for (id,) in taken}


def end_limited(destination_id: int, pause: float) -> None:
    """Let the next claim for a sink that has a limit be after `pause` seconds."""
    sql.rows(
        f"UPDATE eventsinks_destination SET limited_until = {sql.in_seconds()} WHERE id = %s RETURNING id",
        [pause, destination_id],
    )
