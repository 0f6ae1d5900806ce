"""Accept: checks documents, and commits the events of one or many requests together with their deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection

from eventsinks.event_types import EventType
from eventsinks.event_types.base import NotAcceptable
from eventsinks.intake import backlog
from eventsinks.intake.commit import Candidate, Outcome, TakenAndGone, commit
from eventsinks.intake.route import Route
from eventsinks.intake.routes import find_routes
from eventsinks.models import Tenant
from eventsinks.models.event import make_digest
from eventsinks.models.new_event import NewEvent

RACES = 5  # tries, when another process writes the same ids at the same time


@dataclass(frozen=True, slots=True)
class Submission:
    """The documents of one request, each one event as JSON."""

    tenant: Tenant
    event_type: EventType
    documents: Sequence[bytes]


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
    """What became of the documents of one request. `events`: the accepted ones, in order.

    `backlog_full`: how many deliveries failed at once because too many wait at their event sinks.
    """

    events: list[NewEvent] = field(default_factory=list)
    deliveries: int = 0
    backlog_full: int = 0
    duplicates: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The ids of the accepted events, in order."""
        return [event.key for event in self.events]

    @property
    def received_at(self) -> datetime | None:
        """When the last one was accepted."""
        return self.events[-1].received_at if self.events else None


def accept(tenant: Tenant, event_type: EventType, documents: Sequence[bytes]) -> Acceptance:
    """Accept `documents`, each one event as JSON. When this returns, the result is committed."""
    (acceptance,) = accept_all([Submission(tenant, event_type, documents)])
    return acceptance


def accept_all(submissions: Sequence[Submission], versions: Mapping[UUID, int] | None = None) -> list[Acceptance]:
    """Accept the documents of many requests in one transaction. Return what became of each request.

    `versions` are the routing numbers of the tenants, if they were just read.
    """
    routes = find_routes([(one.tenant, one.event_type) for one in submissions], versions)
    acceptances = [Acceptance() for _ in submissions]
    candidates: list[Candidate] = []
    for request, (submission, acceptance) in enumerate(zip(submissions, acceptances, strict=True)):
        route = routes[submission.tenant.id, submission.event_type.key]
        for index, raw in enumerate(submission.documents):
            try:
                candidates.append(check_document(request, index, raw, route))
            except NotAcceptable as error:
                acceptance.rejections.append(make_rejection(index, raw, error))
    for outcome in commit_patiently(candidates):
        add_outcome(acceptances[outcome.candidate.request], outcome)
    for acceptance in acceptances:
        acceptance.rejections.sort(key=lambda rejection: rejection.index)
    return acceptances


def check_document(request: int, index: int, raw: bytes, route: Route) -> Candidate:
    """Check one document and find the sinks that it goes to. Raises NotAcceptable."""
    if len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES:
        raise NotAcceptable(f"is larger than {settings.EVENTSINKS_MAX_EVENT_BYTES} bytes")
    accepted = route.event_type.accept(raw, route.tenant.id)
    return Candidate(request, index, accepted, make_digest(accepted.data), route, route.of(accepted))


def make_rejection(index: int, raw: bytes, error: NotAcceptable) -> Rejection:
    """Return why a document was rejected."""
    too_large = len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES
    return Rejection(index, error.message, error.field, too_large=too_large, is_json=error.is_json)


def commit_patiently(candidates: Sequence[Candidate]) -> list[Outcome]:
    """Commit, and try again after a race with another process. Return what became of each candidate."""
    for _ in range(RACES - 1):
        with suppress(TakenAndGone, IntegrityError):  # a taken id is free again, or another became first in line
            try:
                return commit(candidates)
            except OperationalError as error:
                # Two transactions wrote the same ids, and each waited for the other.
                if "deadlock" not in str(error) or connection.in_atomic_block:
                    raise
    return commit(candidates)


def add_outcome(acceptance: Acceptance, outcome: Outcome) -> None:
    """Add what became of one document to what became of its request."""
    candidate = outcome.candidate
    if outcome.event is not None:
        acceptance.events.append(outcome.event)
        acceptance.deliveries += outcome.owed
        acceptance.backlog_full += backlog.note_full(candidate.route.tenant, outcome.verdicts)
    elif outcome.conflict:
        message = "this id was accepted before, with other content"
        acceptance.rejections.append(Rejection(candidate.index, message, "id", conflict=True))
    else:
        acceptance.duplicates.append(candidate.accepted.key)
