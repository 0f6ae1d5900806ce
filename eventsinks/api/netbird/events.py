"""Accepts events over /api, and lists audit events as NetBird's management API does.

https://docs.netbird.io/api/resources/events. An event has the same shape in a request and in an answer.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions.expunge import TITLE, expunge_event
from eventsinks.api.about import describe_intake, note_about
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.documents import EventsParser, read_documents
from eventsinks.api.errors import Conflict
from eventsinks.api.json import BodyTooLarge
from eventsinks.api.limits import count_events
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.netbird.errors import NOT_JSON, InvalidArgument
from eventsinks.api.netbird.event_shapes import AuditIn, AuditOut, AuditTaken, ManyAudit
from eventsinks.api.netbird.view import NetBirdParser, NetBirdView, document_answers
from eventsinks.event_types import event_type
from eventsinks.event_types.audit import Audit
from eventsinks.event_types.network_traffic import NetworkTrafficType
from eventsinks.event_types.proxy import Proxy
from eventsinks.intake.accept import Acceptance, Rejection, accept
from eventsinks.models import Event, Tenant
from eventsinks.models.new_event import NewEvent

KEY = OpenApiParameter("key", str, OpenApiParameter.PATH, description="the id of the event, percent-encoded")
MOST = 10_000  # audit events that one answer holds, as NetBird's


LINES = {"type": "string", "description": "one event a line"}


class EventsView(NetBirdView):
    """The events of one type: POST accepts them, GET shows them."""

    scope = "event"
    verbs = {"get": "list", "post": "create"}
    type: ClassVar[str]

    def get_parsers(self) -> list[BaseParser]:
        """Return the parsers. The body of a POST with events stays bytes."""
        asks = self.request is not None and self.request.method in SAFE_METHODS  # None: for the schema
        return [NetBirdParser()] if asks else [EventsParser()]

    def take(self, request: Request) -> Response:
        """Accept one event, an array or NDJSON. With the answer 200, the accepted events are committed."""
        documents, many = read_documents(request)
        tenant = get_tenant(request)
        count_events(request, tenant, self.type, documents)
        acceptance = accept(tenant, event_type(self.type), documents)
        note_about(request, **describe_intake(tenant.id, self.type, acceptance))
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


class AuditEventView(NetBirdView):
    """One audit event."""

    scope = "event"
    resource = "audit_event"
    verbs = {"delete": "expunge"}
    id_schema: ClassVar = {"type": "string"}  # the sender chooses it

    @document_answers(AuditOut, parameters=[KEY])
    def delete(self, request: Request, key: str) -> Response:
        """Expunge an audit event. Its data is gone for good, and nothing of it is sent any more.

        That it was accepted stays on record. Again: the answer is the same.
        """
        its = Event.objects.filter(tenant=get_tenant(request), type="audit", key=key)
        if "\0" in key or not (event := its.first()):
            raise Http404("audit event not found")
        expunge_event(event, get_initiator(request))
        return Response(show_event(its.get()))


@extend_schema(exclude=True)
class AliasedAuditView(AuditView):
    """The list of audit events under NetBird's other path."""

    http_method_names = ("get", "head", "options")


def show_one(tenant: Tenant, acceptance: Acceptance, type: str) -> dict[str, Any]:
    """Return the single event that was accepted, now or before."""
    if acceptance.events:
        return show_event(acceptance.events[0])
    return show_event(Event.objects.get(tenant=tenant, type=type, key=acceptance.duplicates[0]))


def show_event(event: Event | NewEvent) -> dict[str, Any]:
    """Return an event with all fields that NetBird always returns."""
    kind = event.event_type
    if isinstance(event, Event) and event.expunged_at and isinstance(kind, Audit):
        return kind.read_back({"id": event.key, "activity": TITLE, "activity_code": ""}, event.occurred_at)
    if isinstance(kind, Audit | Proxy):
        return kind.read_back(event.document, event.occurred_at)
    assert isinstance(kind, NetworkTrafficType)
    return kind.read_back(event.document, event.received_at)


def make_refusal(rejection: Rejection) -> Exception:
    """Return the error for a single document that was not accepted."""
    if rejection.conflict:
        return Conflict(f"{rejection.field}: {rejection.message}")
    if rejection.too_large:
        return BodyTooLarge(f"the event {rejection.message}")
    if not rejection.is_json:
        return ParseError(f"{NOT_JSON}: {rejection.message}")
    return InvalidArgument([(rejection.field, rejection.message)])


def show_counts(acceptance: Acceptance) -> Response:
    """Return the counts. The status is 422 if no document was good, and 400 if none was JSON."""
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
