"""Ends: what became of an incident's firing at a sink, which decides whether the sink gets the end.

A delivery of an incident stores a hash of the incident, and its `phase`. An episode of an incident at a sink ends
with a delivered resolution; later deliveries belong to the next episode.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any

from django.db import transaction

from eventsinks.models.database import sql
from eventsinks.models.delivery.claim import ClaimedDelivery
from eventsinks.models.delivery.line import never_sql
from eventsinks.models.delivery.row import EXPUNGED, Phase

AT_ONCE = 400  # incidents of one statement
ENDS = (Phase.ACKNOWLEDGED, Phase.RESOLVED)
GOES_ON = "('pending', 'sending', 'delivered')"
UNTOLD = "this event sink was not told that it began"

IncidentAtSink = tuple[uuid.UUID, int]  # an incident and a destination

SAME = "here.incident = ending.incident AND here.destination_id = ending.destination_id"
# The firings of an end's episode: those before it, and after the last delivered end before it.
FIRINGS = f"""
    SELECT 1 FROM eventsinks_delivery AS here
    WHERE {SAME} AND here.phase = {Phase.FIRING} AND here.event_id < ending.event_id
      AND here.event_id > coalesce((
          SELECT last.event_id FROM eventsinks_delivery AS last
          WHERE {SAME.replace("here.", "last.")} AND last.phase = {Phase.RESOLVED}
            AND last.event_id < ending.event_id AND last.state = 'delivered'
          ORDER BY last.event_id DESC LIMIT 1), 0)"""

# The deliveries of an incident at the sink after a firing, up to the first resolution.
ENDS_AFTER = f"""
    SELECT here.id FROM eventsinks_delivery AS firing JOIN eventsinks_delivery AS here
        ON here.incident = firing.incident AND here.destination_id = firing.destination_id
        AND here.phase > {Phase.FIRING} AND here.event_id > firing.event_id
    WHERE firing.id IN {{}} AND firing.phase = {Phase.FIRING} AND NOT EXISTS (
        SELECT 1 FROM eventsinks_delivery AS last
        WHERE last.incident = firing.incident AND last.destination_id = firing.destination_id
          AND last.phase = {Phase.RESOLVED} AND last.event_id > firing.event_id
          AND last.event_id < here.event_id)"""


class IncidentStanding(StrEnum):
    """The state of an incident at a sink."""

    TOLD = "told"  # its firing was sent, or may be sent later
    UNTOLD = "untold"  # the sink did not get it: silenced, filtered, held back, skipped
    ENDED = "ended"  # its end was sent, or will be


def find_standings(incidents: Collection[uuid.UUID]) -> dict[IncidentAtSink, IncidentStanding]:
    """Return how each incident stands at each sink that it was ever owed to. To be asked with them locked.

    The caller must have locked the incidents. A failed firing may be sent later: it can be replayed. The cost
    depends on the number of sinks, not on the number of old deliveries.
    """
    ordered = sorted(incidents)
    found: dict[IncidentAtSink, IncidentStanding] = {}
    for start in range(0, len(ordered), AT_ONCE):
        for incident, sink, fired, goes_on, ended in sql.fetch_rows(
            *make_standing_query(ordered[start : start + AT_ONCE])
        ):
            place = (sql.read_id(incident), int(sink))
            if fired:
                found[place] = IncidentStanding.TOLD if goes_on else IncidentStanding.UNTOLD
            elif ended:
                found[place] = IncidentStanding.ENDED
    return found


def make_standing_query(incidents: Sequence[uuid.UUID]) -> tuple[str, list[Any]]:
    """Return the statement, and its parameters, that finds the standing of each incident at each sink.

    It finds whether the incident fired after its last end, whether the sink may get any of those firings, and
    whether there was such an end.
    """
    if sql.is_postgresql():
        given, parameters = "unnest(%s::uuid[]) AS given(incident)", [convert_ids(incidents)]
    else:
        rows = " UNION ALL ".join(["SELECT %s AS incident"] * len(incidents))
        given, parameters = f"({rows}) AS given", convert_ids(incidents)
    firing = f"""
        SELECT 1 FROM eventsinks_delivery AS here
        WHERE here.incident = episode.incident AND here.destination_id = episode.sink
          AND here.phase = {Phase.FIRING} AND here.event_id > coalesce(episode.ended, 0)"""
    statement = f"""
        WITH RECURSIVE place(incident, sink) AS (
            SELECT given.incident, (SELECT min(first.destination_id) FROM eventsinks_delivery AS first
                                    WHERE first.incident = given.incident)
            FROM {given}
            UNION ALL
            SELECT place.incident, (SELECT min(next.destination_id) FROM eventsinks_delivery AS next
                                    WHERE next.incident = place.incident AND next.destination_id > place.sink)
            FROM place WHERE place.sink IS NOT NULL),
        episode(incident, sink, ended) AS (
            SELECT place.incident, place.sink, (
                SELECT here.event_id FROM eventsinks_delivery AS here
                WHERE here.incident = place.incident AND here.destination_id = place.sink
                  AND here.phase = {Phase.RESOLVED} AND here.state IN {GOES_ON}
                ORDER BY here.event_id DESC LIMIT 1)
            FROM place WHERE place.sink IS NOT NULL)
        SELECT episode.incident, episode.sink, EXISTS ({firing}),
            EXISTS ({firing} AND here.state <> 'suppressed'), episode.ended IS NOT NULL
        FROM episode"""
    return statement, parameters


def suppress_untold_ends(claimed: Sequence[ClaimedDelivery]) -> list[ClaimedDelivery]:
    """Suppress the ends whose firing did not reach their sink. Return the deliveries that are still to be sent.

    They move from sending to suppressed, by the holder of the lease. The firings are locked. So a process that
    replays one at the same time either waits, and then finds the end suppressed (`owe_ends`); or it has committed,
    and the end is sent.
    """
    ends = [one.id for one in claimed if one.phase in ENDS]
    if not ends or not find_untold_ends(ends):
        return list(claimed)
    with transaction.atomic():
        lock_firings(ends)
        kept = set(suppress_sending(find_untold_ends(ends), {one.lease for one in claimed}))
    return [one for one in claimed if one.id not in kept]


def find_untold_ends(ends: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Return the ends whose episode has earlier firings, none of which was or will be sent."""
    statement = f"""
        SELECT ending.id FROM eventsinks_delivery AS ending
        WHERE ending.id IN {placeholders_sql(ends)} AND EXISTS ({FIRINGS})
          AND NOT EXISTS ({FIRINGS} AND here.state IN {GOES_ON})"""
    return read_ids(sql.fetch_rows(statement, convert_ids(ends)))


def lock_firings(ends: Sequence[uuid.UUID]) -> None:
    """Let nobody replay a firing before these ends until the transaction ends. SQLite has one writer anyway."""
    if not sql.is_postgresql():
        return
    joined = FIRINGS.replace("SELECT 1 FROM", "SELECT here.id FROM eventsinks_delivery AS ending JOIN", 1)
    statement = (
        joined.replace("WHERE", "ON", 1)
        + f"""
        WHERE ending.id IN {placeholders_sql(ends)} AND here.state IN ('failed', 'suppressed')
        ORDER BY here.id FOR NO KEY UPDATE OF here"""
    )
    sql.fetch_rows(statement, convert_ids(ends))


def suppress_sending(ends: Sequence[uuid.UUID], leases: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Move from sending to suppressed if the lease is one of `leases`. Return which moved."""
    if not ends:
        return []
    statement = f"""
        UPDATE eventsinks_delivery
        SET state = 'suppressed', lease = NULL, tries = tries - 1, settled_at = {sql.now_sql()}, reason = %s
        WHERE id IN {placeholders_sql(ends)} AND lease IN {placeholders_sql(leases)} AND state = 'sending'
        RETURNING id"""
    return read_ids(sql.fetch_rows(statement, [UNTOLD, *convert_ids(ends), *convert_ids(leases)]))


def owe_ends(firings: Sequence[uuid.UUID]) -> None:
    """Move the ends after these firings from suppressed to pending, because the firings are sent after all.

    Call this in the transaction that replays the firings, after it has locked them.
    """
    for start in range(0, len(firings), AT_ONCE):
        some = firings[start : start + AT_ONCE]
        statement = f"""
            UPDATE eventsinks_delivery
            SET state = 'pending', tries = 0, settled_at = NULL, reason = '',
                due_at = CASE WHEN ordering_key IS NULL THEN {sql.now_sql()} ELSE {never_sql()} END
            WHERE state = 'suppressed' AND reason <> '{EXPUNGED}'
              AND id IN ({ENDS_AFTER.format(placeholders_sql(some))})
            RETURNING id"""
        sql.fetch_rows(statement, convert_ids(some))


def find_ends_after(firings: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Return the later deliveries at the same sink that report how these incidents went on, up to the end."""
    return read_ids(sql.fetch_rows(ENDS_AFTER.format(placeholders_sql(firings)), convert_ids(firings)))


def placeholders_sql(ids: Collection[uuid.UUID]) -> str:
    """Return the SQL of a list with a placeholder for each id."""
    return f"({', '.join(['%s'] * len(ids))})"


def convert_ids(ids: Collection[uuid.UUID]) -> list[Any]:
    """Return ids in the form that the database takes."""
    return list(map(sql.convert_id, ids))


def read_ids(rows: Sequence[Sequence[Any]]) -> list[uuid.UUID]:
    """Return the ids in rows of the database."""
    return [sql.read_id(id) for (id,) in rows]
