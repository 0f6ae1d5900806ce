"""The audit events of an account, as NetBird's management API lists them; and taking in audit and traffic.

https://docs.netbird.io/api/resources/events. What is taken in has the shape in which it is read back.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, ConfigDict, RootModel
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.authentication import get_tenant
from eventsinks.api.documents import EventsParser, Many, read_documents
from eventsinks.api.errors import Conflict
from eventsinks.api.json import BodyTooLarge
from eventsinks.api.limits import count_events
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.netbird.errors import NOT_JSON, ErrorBody, InvalidArgument
from eventsinks.api.netbird.view import NetBirdParser, NetBirdView, document_answers
from eventsinks.event_types import event_type
from eventsinks.event_types.audit import Audit, AuditData
from eventsinks.event_types.network_traffic import NetworkTraffic, NetworkTrafficData
from eventsinks.event_types.proxy import Proxy, ProxyData
from eventsinks.intake.accept import Acceptance, Rejection, accept
from eventsinks.models import Event

MOST = 10_000  # audit events that one answer holds, as NetBird's


class EventOut(BaseModel):
    """An event: the fields of NetBird's, and whatever else it came with."""

    model_config = ConfigDict(extra="allow")

    id: str


class AuditOut(EventOut):
    """An audit event."""

    timestamp: str
    activity: str
    activity_code: str
    initiator_id: str
    initiator_name: str
    initiator_email: str
    target_id: str
    meta: dict[str, str]


class ManyAudit(RootModel[list[AuditOut]]):
    """Audit events, newest first."""


class Rejected(BaseModel):
    """One document that was not taken. `index` counts from 0."""

    index: int
    field: str
    error: str


class Counts(BaseModel):
    """What became of many documents."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Taken(RootModel[EventOut | Counts]):
    """The event, if it came alone; else what became of them all."""


class AuditIn(RootModel[AuditData | Many[AuditData]]):
    """One audit event, or many."""


class NetworkTrafficIn(RootModel[NetworkTrafficData | Many[NetworkTrafficData]]):
    """One flow, or many."""


class ProxyIn(RootModel[ProxyData | Many[ProxyData]]):
    """One request to the reverse proxy, or many."""


LINES = {"type": "string", "description": "one event a line"}
TAKING = {409: OpenApiResponse(ErrorBody, "the id was accepted before, with other content")}


class EventsView(NetBirdView):
    """The events of one type: POST takes them in, GET shows them."""

    scope = "event"
    type: ClassVar[str]

    def get_parsers(self) -> list[BaseParser]:
        """Return what reads the body: as bytes where events come in."""
        asks = self.request is not None and self.request.method in SAFE_METHODS  # None: for the schema
        return [NetBirdParser()] if asks else [EventsParser()]

    def take(self, request: Request) -> Response:
        """Take in one event, an array or NDJSON. When this answers 200, what it says is committed."""
        documents, many = read_documents(request)
        tenant = get_tenant(request)
        count_events(tenant, self.type, documents)
        acceptance = accept(tenant, event_type(self.type), documents)
        if many:
            return show_counts(acceptance)
        for rejection in acceptance.rejections:
            raise make_refusal(rejection)
        (key,) = acceptance.keys or acceptance.duplicates
        return Response(show_event(Event.objects.get(tenant=tenant, type=self.type, key=key)))


class AuditView(EventsView):
    """Audit events."""

    type = "audit"

    @document_answers(ManyAudit, operation_id="api_events_audit_list")
    def get(self, request: Request) -> Response:
        """List the newest audit events of the account, at most 10,000."""
        found = Event.objects.filter(tenant=get_tenant(request), type=self.type).order_by("-id")[:MOST]
        # By the order in which they came in, then by the time they tell: late ones find their place.
        return Response([show_event(event) for event in sorted(found, key=lambda e: e.occurred_at, reverse=True)])

    @document_answers(
        Taken,
        request={JSON: AuditIn, NDJSON: LINES},
        operation_id="api_events_audit_create",
        errors=TAKING,
    )
    def post(self, request: Request) -> Response:
        """Take in one audit event, an array or NDJSON."""
        return self.take(request)


@extend_schema(exclude=True)
class AliasedAuditView(AuditView):
    """The list of audit events under NetBird's other path."""

    http_method_names = ("get", "head", "options")


def show_event(event: Event) -> dict[str, Any]:
    """Return an event as NetBird shows it: with everything that it always says."""
    kind = event.event_type
    if isinstance(kind, Audit | Proxy):
        return kind.read_back(event.document, event.occurred_at)
    assert isinstance(kind, NetworkTraffic)
    return kind.read_back(event.document, event.received_at)


def make_refusal(rejection: Rejection) -> Exception:
    """Return the error that says why the one document was not taken."""
    if rejection.conflict:
        return Conflict(f"{rejection.field}: {rejection.message}")
    if rejection.too_large:
        return BodyTooLarge(f"the event {rejection.message}")
    if not rejection.is_json:
        return ParseError(f"{NOT_JSON}: {rejection.message}")
    return InvalidArgument([(rejection.field, rejection.message)])


def show_counts(acceptance: Acceptance) -> Response:
    """Return the counts; where nothing was good 422, or 400 where none was JSON."""
    rejected = [
        {"index": rejection.index, "field": rejection.field, "error": rejection.message}
        for rejection in acceptance.rejections
    ]
    counts = {
        "accepted": len(acceptance.keys),
        "duplicates": len(acceptance.duplicates),
        "rejected": rejected,
    }
    if acceptance.keys or acceptance.duplicates:
        return Response(counts)
    message = f"none of the {len(rejected)} events was taken; see rejected"
    code = 422 if any(rejection.is_json for rejection in acceptance.rejections) else 400
    return Response({**counts, "message": message, "code": code}, status=code)
