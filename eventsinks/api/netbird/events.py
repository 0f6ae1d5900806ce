"""The audit events of an account, as NetBird's management API lists them; and taking in audit and traffic.

https://docs.netbird.io/api/resources/events. What is taken in has the shape in which it is read back.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.authentication import get_tenant
from eventsinks.api.documents import EventsParser, read_documents
from eventsinks.api.errors import Conflict
from eventsinks.api.json import BodyTooLarge
from eventsinks.api.limits import count_events
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.netbird.errors import NOT_JSON, InvalidArgument
from eventsinks.api.netbird.event_shapes import AuditIn, AuditTaken, ManyAudit
from eventsinks.api.netbird.view import NetBirdParser, NetBirdView, document_answers
from eventsinks.event_types import event_type
from eventsinks.event_types.audit import Audit
from eventsinks.event_types.network_traffic import NetworkTrafficType
from eventsinks.event_types.proxy import Proxy
from eventsinks.intake.accept import Acceptance, Rejection, accept
from eventsinks.models import Event, Tenant
from eventsinks.models.new_event import NewEvent

MOST = 10_000  # audit events that one answer holds, as NetBird's


LINES = {"type": "string", "description": "one event a line"}


class EventsView(NetBirdView):
    """The events of one type: POST takes them in, GET shows them."""

    scope = "event"
    verbs = {"get": "list", "post": "create"}
    type: ClassVar[str]

    def get_parsers(self) -> list[BaseParser]:
        """Return what reads the body: as bytes where events come in."""
        asks = self.request is not None and self.request.method in SAFE_METHODS  # None: for the schema
        return [NetBirdParser()] if asks else [EventsParser()]

    def take(self, request: Request) -> Response:
        """Take in one event, an array or NDJSON. When this answers 200, what it says is committed."""
        documents, many = read_documents(request)
        tenant = get_tenant(request)
        count_events(request, tenant, self.type, documents)
        acceptance = accept(tenant, event_type(self.type), documents)
        if many:
            return show_counts(acceptance)
        for rejection in acceptance.rejections:
            raise make_refusal(rejection)
        return Response(show_one(tenant, acceptance, self.type))


class AuditView(EventsView):
    """Audit events."""

    type = "audit"
    resource = "audit_event"

    @document_answers(ManyAudit)
    def get(self, request: Request) -> Response:
        """List audit events. The newest of the account, at most 10,000."""
        found = Event.objects.filter(tenant=get_tenant(request), type=self.type).order_by("-id")[:MOST]
        # By the order in which they came in, then by the time they tell: late ones find their place.
        return Response([show_event(event) for event in sorted(found, key=lambda e: e.occurred_at, reverse=True)])

    @document_answers(AuditTaken, request={JSON: AuditIn, NDJSON: LINES}, errors=[409])
    def post(self, request: Request) -> Response:
        """Send audit events: one, an array or NDJSON. 409: an event of this id has other content."""
        return self.take(request)


@extend_schema(exclude=True)
class AliasedAuditView(AuditView):
    """The list of audit events under NetBird's other path."""

    http_method_names = ("get", "head", "options")


def show_one(tenant: Tenant, acceptance: Acceptance, type: str) -> dict[str, Any]:
    """Return the one event that was taken, or that was there already."""
    if acceptance.events:
        return show_event(acceptance.events[0])
    return show_event(Event.objects.get(tenant=tenant, type=type, key=acceptance.duplicates[0]))


def show_event(event: Event | NewEvent) -> dict[str, Any]:
    """Return an event as NetBird shows it: with everything that it always says."""
    kind = event.event_type
    if isinstance(kind, Audit | Proxy):
        return kind.read_back(event.document, event.occurred_at)
    assert isinstance(kind, NetworkTrafficType)
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
