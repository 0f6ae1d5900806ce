"""Accept: commit events, and the deliveries they are owed, in one transaction; then nudge."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from uuid_utils.compat import uuid7

from eventsinks.actions.nudge import STREAMS, nudge
from eventsinks.event_types import EventType
from eventsinks.event_types.base import Accepted, NotAcceptable
from eventsinks.models import INDEXES, Delivery, Destination, Event, Tenant
from eventsinks.models.event import digest_of

RACES = 5  # how often a lost race for the same ids is run again


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one document was not taken. `conflict`: its id is taken by other content."""

    index: int
    message: str
    field: str = ""
    conflict: bool = False
    too_large: bool = False


@dataclass(slots=True)
class Acceptance:
    """What became of the documents of one request. `keys`: the ids of the accepted ones, in order."""

    keys: list[str] = field(default_factory=list)
    received_at: datetime | None = None  # of the last one
    deliveries: int = 0
    duplicates: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that is an event, on its way into the log."""

    index: int
    accepted: Accepted
    digest: bytes
    sinks: Sequence[int]


def accept(tenant: Tenant, event_type: EventType, documents: Sequence[bytes]) -> Acceptance:
    """Take in `documents`, each one event as JSON. When this returns, what it says is committed."""
    acceptance = Acceptance()
    route = Route(tenant, event_type)
    candidates = []
    for index, raw in enumerate(documents):
        try:
            candidates.append(candidate(index, raw, tenant, event_type, route))
        except NotAcceptable as error:
            too_large = len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES
            acceptance.rejections.append(Rejection(index, error.message, error.field, too_large=too_large))
    for attempt in range(RACES):
        try:
            _commit(tenant, event_type, candidates, route, acceptance)
            return acceptance
        except IntegrityError:  # somebody else has just taken one of these ids: look again
            if attempt == RACES - 1:
                raise
    return acceptance


def candidate(index: int, raw: bytes, tenant: Tenant, event_type: EventType, route: Route) -> Candidate:
    """Check one document and where it goes. Raises NotAcceptable."""
    if len(raw) > settings.EVENTSINKS_MAX_EVENT_BYTES:
        raise NotAcceptable(f"is larger than {settings.EVENTSINKS_MAX_EVENT_BYTES} bytes")
    accepted = event_type.accept(raw, tenant.id)
    return Candidate(index, accepted, digest_of(accepted.data), route.of(accepted))


class Route:
    """Which sinks of a tenant an event goes to, from one look at them."""

    def __init__(self, tenant: Tenant, event_type: EventType) -> None:
        self._tenant, self._key = tenant, event_type.key
        sinks = Destination.objects.of(tenant).sinks().values_list("id", "uuid", "event_types")
        self._by_uuid = {uuid: id for id, uuid, _ in sinks}
        self._hearing = [id for id, _, event_types in sinks if event_type.key in event_types]

    @functools.cached_property
    def streamed(self) -> bool:
        """Whether an integration of the tenant hears this type."""
        integrations = Destination.objects.of(self._tenant).integrations().values_list("event_types", flat=True)
        return any(self._key in event_types for event_types in integrations)

    def of(self, accepted: Accepted) -> Sequence[int]:
        """Return the ids of the sinks. Raises NotAcceptable for one that the tenant does not have."""
        if accepted.held:
            return ()
        if accepted.routed_to is None:
            return self._hearing
        return [self._named(index, uuid) for index, uuid in enumerate(accepted.routed_to)]

    def _named(self, index: int, uuid: UUID) -> int:
        if uuid not in self._by_uuid:
            raise NotAcceptable("no such event sink", f"event_sink_ids.{index}")
        return self._by_uuid[uuid]


def _commit(
    tenant: Tenant, event_type: EventType, candidates: Sequence[Candidate], route: Route, acceptance: Acceptance
) -> None:
    """Write what is new. Raises IntegrityError when another request has just written the same ids."""
    with transaction.atomic():
        keys = [candidate.accepted.key for candidate in candidates]
        known = dict(
            Event.objects.filter(tenant=tenant, type=event_type.key, key__in=keys).values_list("key", "digest")
        )
        new, rejections, duplicates = sorted_out(candidates, known)
        events = Event.objects.bulk_create([row(tenant, event_type, candidate) for candidate in new])
        write_index(event_type, events)
        owed = [
            Delivery(id=uuid7(), event_id=event.id, destination_id=sink)
            for event, candidate in zip(events, new, strict=True)
            for sink in candidate.sinks
        ]
        Delivery.objects.bulk_create(owed)
        if owed:
            nudge()
        if route.streamed:
            nudge(STREAMS)
    acceptance.keys = [candidate.accepted.key for candidate in new]
    acceptance.received_at = events[-1].received_at if events else None
    acceptance.deliveries = len(owed)
    acceptance.duplicates = duplicates
    acceptance.rejections = sorted(acceptance.rejections + rejections, key=lambda rejection: rejection.index)


def sorted_out(
    candidates: Sequence[Candidate], known: Mapping[str, bytes | memoryview]
) -> tuple[list[Candidate], list[Rejection], list[str]]:
    """Return what is new, what clashes, and the ids of what is there already. `known` maps ids to digests."""
    new: list[Candidate] = []
    rejections: list[Rejection] = []
    duplicates: list[str] = []
    seen = {key: bytes(digest) for key, digest in known.items()}
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


def row(tenant: Tenant, event_type: EventType, candidate: Candidate) -> Event:
    """Return the event's row."""
    return Event(
        tenant=tenant,
        type=event_type.key,
        key=candidate.accepted.key,
        data=candidate.accepted.data,
        digest=candidate.digest,
        occurred_at=candidate.accepted.occurred_at,
    )


def write_index(event_type: EventType, events: Sequence[Event]) -> None:
    """Write beside each event the columns that events of its type are looked for by, if there are any."""
    if (table := INDEXES.get(event_type.key)) is None:
        return
    table._default_manager.bulk_create(
        [
            table(event=event, tenant_id=event.tenant_id, occurred_at=event.occurred_at, **columns)
            for event in events
            if (columns := event_type.indexed(event.document)) is not None
        ]
    )
