"""Accept: commits events and their deliveries in one transaction, then nudges a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models.functions import Now

from eventsinks.event_types import EventType
from eventsinks.event_types.base import Accepted, NotAcceptable
from eventsinks.intake import backlog
from eventsinks.intake.line_up import stand_in_line
from eventsinks.intake.nudge import STREAMS, nudge
from eventsinks.intake.quieten import quieten
from eventsinks.intake.route import Route, RouteVerdict
from eventsinks.intake.tell_ends import tell_ends
from eventsinks.models import INDEXES, Delivery, Event, Tenant
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import DeliveryState, lock_lines, make_id
from eventsinks.models.event import find_digests, insert_new, make_digest

RACES = 5  # tries, when another process writes the same ids at the same time


class TakenAndGone(Exception):
    """An id was taken when the event was written, but free again when it was looked up."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a document was rejected. `conflict`: its id has other content already; `is_json`: it is an object."""

    index: int
    message: str
    field: str = ""
    conflict: bool = False
    too_large: bool = False
    is_json: bool = True


@dataclass(slots=True)
class Acceptance:
    """What became of the documents of one request. `keys`: the ids of the accepted ones, in order.

    `backlog_full`: how many deliveries failed at once because too many wait at their event sinks.
    """

    keys: list[str] = field(default_factory=list)
    received_at: datetime | None = None  # of the last one
    deliveries: int = 0
    backlog_full: int = 0
    duplicates: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that is a valid event and is about to be written to the log."""

    index: int
    accepted: Accepted
    digest: bytes
    verdicts: Sequence[RouteVerdict]


def accept(tenant: Tenant, event_type: EventType, documents: Sequence[bytes]) -> Acceptance:
    """Accept `documents`, each one event as JSON. When this returns, the result is committed."""
    acceptance = Acceptance()
    route = Route(tenant, event_type)
    candidates = []
    for index, raw in enumerate(documents):
        try:
            candidates.append(check_document(index, raw, tenant, event_type, route))
        except NotAcceptable as error:
            too_large = len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES
            rejection = Rejection(index, error.message, error.field, too_large=too_large, is_json=error.is_json)
            acceptance.rejections.append(rejection)
    for attempt in range(RACES):
        try:
            _commit(tenant, event_type, candidates, route, acceptance)
            return acceptance
        except (TakenAndGone, IntegrityError):  # a taken id is free again, or another became first in line
            if attempt == RACES - 1:
                raise
        except OperationalError as error:  # two transactions wrote the same ids, and each waited for the other
            if "deadlock" not in str(error) or connection.in_atomic_block or attempt == RACES - 1:
                raise
    return acceptance


def check_document(index: int, raw: bytes, tenant: Tenant, event_type: EventType, route: Route) -> Candidate:
    """Check one document and find the sinks that it goes to. Raises NotAcceptable."""
    if len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES:
        raise NotAcceptable(f"is larger than {settings.EVENTSINKS_MAX_EVENT_BYTES} bytes")
    accepted = event_type.accept(raw, tenant.id)
    return Candidate(index, accepted, make_digest(accepted.data), route.of(accepted))


def _commit(
    tenant: Tenant, event_type: EventType, candidates: Sequence[Candidate], route: Route, acceptance: Acceptance
) -> None:
    """Write the new events. Raises TakenAndGone."""
    with transaction.atomic():
        lock_lines(tenant.id, list_keys(candidates))
        candidates = route_ends(candidates)
        firsts: dict[str, Candidate] = {}
        for one in candidates:
            firsts.setdefault(one.accepted.key, one)
        events = insert_new([make_event(tenant, event_type, one) for one in firsts.values()])
        taken = firsts.keys() - {event.key for event in events}
        known = find_digests(tenant.id, event_type.key, list(taken)) if taken else {}
        if known.keys() != taken:
            raise TakenAndGone
        new, rejections, duplicates = sort_out(candidates, known)
        write_index(event_type, events)
        verdicts = quieten(events, [candidate.verdicts for candidate in new], route)
        verdicts = backlog.mark_full(tenant, verdicts)
        rows = [
            make_delivery(event, verdict) for event, own in zip(events, verdicts, strict=True) for verdict in own
        ]
        stand_in_line(rows)
        Delivery.objects.bulk_create(rows)
        owed = sum(row.state == DeliveryState.PENDING for row in rows)
        if owed:
            nudge()
        if route.streamed:
            nudge(STREAMS)
    acceptance.keys = [candidate.accepted.key for candidate in new]
    acceptance.received_at = events[-1].received_at if events else None
    acceptance.deliveries = owed
    acceptance.backlog_full = backlog.note_full(tenant, (verdict for own in verdicts for verdict in own))
    acceptance.duplicates = duplicates
    acceptance.rejections = sorted(acceptance.rejections + rejections, key=lambda rejection: rejection.index)


def list_keys(candidates: Sequence[Candidate]) -> set[UUID]:
    """Return the ordering keys and incidents of the candidates."""
    verdicts = [verdict for candidate in candidates for verdict in candidate.verdicts]
    return {key for one in verdicts for key in (one.ordering_key, one.incident) if key is not None}


def route_ends(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return the candidates; ends of incidents now go to the sinks that got the beginning."""
    verdicts = tell_ends([candidate.verdicts for candidate in candidates])
    return [
        one if own is one.verdicts else replace(one, verdicts=own)
        for one, own in zip(candidates, verdicts, strict=True)
    ]


def sort_out(
    candidates: Sequence[Candidate], known: Mapping[str, bytes]
) -> tuple[list[Candidate], list[Rejection], list[str]]:
    """Return the new candidates, the conflicts, and the ids of duplicates. `known` maps ids to digests."""
    new: list[Candidate] = []
    rejections: list[Rejection] = []
    duplicates: list[str] = []
    seen = dict(known)
    for candidate in candidates:
        key = candidate.accepted.key
        if key not in seen:
            seen[key] = candidate.digest
            new.append(candidate)
        elif seen[key] == candidate.digest:
            duplicates.append(key)
        else:
            message = "this id was accepted before, with other content"
            rejections.append(Rejection(candidate.index, message, "id", conflict=True))
    return new, rejections, duplicates


def make_event(tenant: Tenant, event_type: EventType, candidate: Candidate) -> Event:
    """Return the event's row."""
    return Event(
        tenant=tenant,
        type=event_type.key,
        key=candidate.accepted.key,
        data=candidate.accepted.data,
        digest=candidate.digest,
        occurred_at=candidate.accepted.occurred_at,
        owed=len(candidate.verdicts),
    )


def make_delivery(event: Event, verdict: RouteVerdict) -> Delivery:
    """Return the delivery's row: pending, suppressed for its verdict's reason, or failed if its sink is full."""
    made = Delivery(
        id=make_id(event.received_at),
        event_id=event.id,
        destination_id=verdict.sink,
        ordering_key=verdict.ordering_key,
        incident=verdict.incident,
        phase=verdict.phase,
    )
    if verdict.reason:
        made.state = DeliveryState.FAILED if verdict.full else DeliveryState.SUPPRESSED
        made.reason = clean_text(verdict.reason)
        made.settled_at = Now()
    return made


def write_index(event_type: EventType, events: Sequence[Event]) -> None:
    """Write the search columns of each event, if its type has any."""
    if (write := INDEXES.get(event_type.key)) is None:
        return
    write([(event, columns) for event in events if (columns := event_type.indexed(event.document)) is not None])
