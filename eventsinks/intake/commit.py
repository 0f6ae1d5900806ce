"""Commit: writes checked events, with their deliveries, in one transaction, and nudges a worker after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from uuid import UUID

from django.db import transaction

from eventsinks.event_types.base import Accepted
from eventsinks.intake import backlog
from eventsinks.intake.line_up import stand_in_line
from eventsinks.intake.nudge import STREAMS, nudge
from eventsinks.intake.quieten import quieten
from eventsinks.intake.route import Route, RouteVerdict
from eventsinks.intake.tell_ends import tell_ends
from eventsinks.models import INDEXES
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import DeliveryState, NewDelivery, insert_deliveries, lock_lines, make_id
from eventsinks.models.new_event import EventKey, NewEvent, find_digests, insert_new


class TakenAndGone(Exception):
    """An id was taken when the event was written, but free again when it was looked up."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that is a valid event. `request` and `index` say which document of which request it is."""

    request: int
    index: int
    accepted: Accepted
    digest: bytes
    route: Route
    verdicts: Sequence[RouteVerdict]

    @property
    def log_key(self) -> EventKey:
        """What no two events of the log share."""
        return self.route.tenant.id, self.route.event_type.key, self.accepted.key


@dataclass(slots=True)
class Outcome:
    """What became of a candidate. Without an event it was in the log before: as it is, or in `conflict`."""

    candidate: Candidate
    event: NewEvent | None = None
    conflict: bool = False
    verdicts: Sequence[RouteVerdict] = ()
    owed: int = 0  # how many deliveries are to be sent


def commit(candidates: Sequence[Candidate]) -> list[Outcome]:
    """Write the new events of many requests. Return what became of each candidate, in their order.

    Raises TakenAndGone and IntegrityError after a race with another process; then nothing is written.
    """
    if not candidates:
        return []
    with transaction.atomic():
        lock_lines(list_line_keys(candidates))
        outcomes = write_events(route_ends(candidates))
        new = [outcome for outcome in outcomes if outcome.event is not None]
        for route, some in group_by_route(new):
            write_index(route, some)
            hold_back(route, some)
        rows = make_deliveries(new)
        stand_in_line(rows)
        insert_deliveries(rows)
        if any(outcome.owed for outcome in new):
            nudge()
        if any(outcome.candidate.route.streamed for outcome in new):
            nudge(STREAMS)
    return outcomes


def list_line_keys(candidates: Sequence[Candidate]) -> set[tuple[UUID, UUID]]:
    """Return the ordering keys and incidents of the candidates, each with its tenant."""
    return {
        (candidate.route.tenant.id, key)
        for candidate in candidates
        for verdict in candidate.verdicts
        for key in (verdict.ordering_key, verdict.incident)
        if key is not None
    }


def route_ends(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return the candidates; ends of incidents now go to the sinks that got the beginning."""
    verdicts = tell_ends([candidate.verdicts for candidate in candidates])
    return [
        one if own is one.verdicts else replace(one, verdicts=own)
        for one, own in zip(candidates, verdicts, strict=True)
    ]


def write_events(candidates: Sequence[Candidate]) -> list[Outcome]:
    """Write those whose ids are free. Raises TakenAndGone."""
    firsts: dict[EventKey, Candidate] = {}
    for one in candidates:
        firsts.setdefault(one.log_key, one)
    new = {event.log_key: event for event in insert_new([make_event(one) for one in firsts.values()])}
    taken = [key for key in firsts if key not in new]
    digests = find_digests(taken)
    if len(digests) < len(taken):
        raise TakenAndGone
    outcomes = []
    for one in candidates:
        key = one.log_key
        event = new[key] if key not in digests else None
        known = digests.setdefault(key, one.digest)
        outcomes.append(Outcome(one, event, event is None and known != one.digest, one.verdicts))
    return outcomes


def make_event(candidate: Candidate) -> NewEvent:
    """Return the event's row."""
    accepted = candidate.accepted
    occurred_at = accepted.occurred_at.astimezone(UTC)
    owed = len(candidate.verdicts)
    return NewEvent(*candidate.log_key, accepted.data, candidate.digest, occurred_at, owed, accepted.columns)


def group_by_route(outcomes: Iterable[Outcome]) -> list[tuple[Route, list[Outcome]]]:
    """Return the outcomes of each route, in the order of tenants: so two processes lock in the same order."""
    groups: dict[tuple[UUID, str], tuple[Route, list[Outcome]]] = {}
    for outcome in outcomes:
        route = outcome.candidate.route
        groups.setdefault((route.tenant.id, route.event_type.key), (route, []))[1].append(outcome)
    return [groups[key] for key in sorted(groups)]


def write_index(route: Route, outcomes: Sequence[Outcome]) -> None:
    """Write the search columns of each new event, if its type has any."""
    if (write := INDEXES.get(route.event_type.key)) is None:
        return
    found = [(one.event, route.event_type.indexed(one.event.document)) for one in outcomes if one.event]
    write([(event, columns) for event, columns in found if columns is not None])


def hold_back(route: Route, outcomes: Sequence[Outcome]) -> None:
    """Give the new events of one route the verdicts of quiet windows, silences and full backlogs."""
    if not any(outcome.verdicts for outcome in outcomes):
        return
    events = [one.event for one in outcomes if one.event]
    verdicts = backlog.mark_full(route.tenant, quieten(events, [one.verdicts for one in outcomes], route))
    for outcome, own in zip(outcomes, verdicts, strict=True):
        outcome.verdicts = own


def make_deliveries(outcomes: Sequence[Outcome]) -> list[NewDelivery]:
    """Return the rows of the deliveries of new events, in the order of their events."""
    rows = []
    for outcome in outcomes:
        if outcome.event is not None:
            own = [make_delivery(outcome.event, verdict) for verdict in outcome.verdicts]
            outcome.owed = sum(row.state == DeliveryState.PENDING for row in own)
            rows += own
    return rows


def make_delivery(event: NewEvent, verdict: RouteVerdict) -> NewDelivery:
    """Return the delivery's row: pending, suppressed for its verdict's reason, or failed if its sink is full."""
    row = NewDelivery(
        make_id(event.received_at),
        event.tenant_id,
        event.id,
        verdict.sink,
        ordering_key=verdict.ordering_key,
        incident=verdict.incident,
        phase=verdict.phase,
    )
    if verdict.reason:
        row.state = (DeliveryState.FAILED if verdict.full else DeliveryState.SUPPRESSED).value
        row.reason = clean_text(verdict.reason)
    return row
