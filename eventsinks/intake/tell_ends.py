"""Tell ends: sends the progress and the end of an incident to the sinks that got its beginning, and to no others.

No filter, silence or window keeps the end from a sink that got the beginning. The end comes even if the sink no
longer gets such events. If no beginning is known, the end is an event like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from eventsinks.intake.route import RouteVerdict
from eventsinks.models.delivery import ENDS, UNTOLD, IncidentAtSink, IncidentStanding, Phase, find_standings


def tell_ends(verdicts: Sequence[Sequence[RouteVerdict]]) -> list[Sequence[RouteVerdict]]:
    """Return the verdicts on events, in the order of acceptance, with the ends going where they belong.

    Call this inside the transaction that commits the events, with their incidents locked.
    """
    ends = {one.incident for own in verdicts for one in own if is_end(one) and one.incident is not None}
    if not ends:
        return list(verdicts)
    stands = find_standings(ends)
    known = {incident for incident, _ in stands}
    found: list[Sequence[RouteVerdict]] = []
    for own in verdicts:
        judged = [told for one in own if (told := judge_end(one, stands, known)) is not None]
        for one in judged:
            note_standing(one, stands, known)
        found.append(judged)
    return found


def is_end(verdict: RouteVerdict) -> bool:
    """Whether it is told of an incident that somebody has seen to it, or that it is over."""
    return verdict.phase in ENDS


def judge_end(
    verdict: RouteVerdict, stands: Mapping[IncidentAtSink, IncidentStanding], known: set[UUID]
) -> RouteVerdict | None:
    """Return the verdict on an end as what was told before demands it; None where the event goes elsewhere."""
    if verdict.incident is None or not is_end(verdict):
        return None if verdict.unasked else verdict
    standing = stands.get((verdict.incident, verdict.sink))
    if standing == IncidentStanding.TOLD:
        return verdict._replace(reason="", silence=None, unasked=False)
    if verdict.unasked:
        return None
    if standing == IncidentStanding.UNTOLD or (standing is None and verdict.incident in known):
        return verdict._replace(reason=UNTOLD, silence=None)
    return verdict


def note_standing(verdict: RouteVerdict, stands: dict[IncidentAtSink, IncidentStanding], known: set[UUID]) -> None:
    """Keep how an incident stands after a verdict, for what comes later in the same request."""
    if verdict.incident is None:
        return
    place = (verdict.incident, verdict.sink)
    if verdict.phase == Phase.FIRING:
        known.add(verdict.incident)
        if not verdict.reason:
            stands[place] = IncidentStanding.TOLD
        elif stands.get(place) != IncidentStanding.TOLD:
            stands[place] = IncidentStanding.UNTOLD
    elif verdict.phase == Phase.RESOLVED and not verdict.reason:
        stands[place] = IncidentStanding.ENDED
