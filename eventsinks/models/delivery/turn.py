"""Turns: of a place that takes so many messages a second, at most one worker sends one at a time.

A place is what several destinations may share: a channel of a Slack workspace. Whoever has the turn has it until
the message is sent and the pause after it is over; one whose worker dies is free again when the lease would be.
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
            WHERE place IN ({marks}) AND deleted_at IS NULL
              AND (paced_until IS NULL OR paced_until <= {sql.now()}) RETURNING place""",
        [lease_seconds, *sorted(places)],
    )
    return {place for (place,) in taken}


def end_turn(place: str, pause: float) -> None:
    """Let the next one have the turn after `pause` seconds."""
    sql.rows(
        f"UPDATE eventsinks_destination SET paced_until = {sql.in_seconds()} WHERE place = %s RETURNING id",
        [pause, place],
    )
