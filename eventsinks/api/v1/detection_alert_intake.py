"""POST /v1/detection_alert accepts one alert, a JSON array, or NDJSON. They are committed before the answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field, RootModel
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.about import describe_intake, note_about
from eventsinks.api.authentication import get_tenant
from eventsinks.api.documents import EventsParser, Many, read_documents
from eventsinks.api.errors import Conflict, Invalid
from eventsinks.api.json import BodyTooLarge
from eventsinks.api.limits import count_events
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.v1.view import V1View, document_answers
from eventsinks.event_types import event_type
from eventsinks.event_types.detection_alert import DetectionAlertData
from eventsinks.intake.accept import Acceptance, Rejection, accept
from eventsinks.models import Event, Tenant


class OneAccepted(BaseModel):
    """One accepted alert. `deliveries` is the number of event sinks that get it.

    `backlog_full` is the number of event sinks where it failed at once, because too many deliveries wait there. It
    is absent if it would be 0. A replay sends the alert.
    """

    id: str = Field(description="its id, its sender's or one that was made")
    tenant_id: UUID = Field(description="whose it is")
    received_at: datetime = Field(description="when it was accepted")
    deliveries: int = Field(description="how many event sinks it is owed to")
    backlog_full: int = Field(0, description="at how many event sinks it has failed at once; absent where it is 0")
    duplicate: bool = Field(description="whether it had been accepted before")


class OneAlert(BaseModel):
    """The answer to one alert."""

    detection_alert: OneAccepted = Field(description="the alert")


class RejectedAlert(BaseModel):
    """One document that was not accepted. `index` counts from 0."""

    index: int = Field(description="which of the alerts, from 0")
    field: str = Field(description="the path of what is wrong; empty for the whole alert")
    error: str = Field(description="what is wrong with it")


class AlertCounts(BaseModel):
    """The result for many alerts."""

    accepted: int = Field(description="how many are new")
    duplicates: int = Field(description="how many had been accepted before")
    deliveries: int = Field(description="how many deliveries they are owed")
    backlog_full: int = Field(0, description="how many of these have failed at once; absent where it is 0")
    rejected: list[RejectedAlert] = Field(description="those that were not taken")


class ManyAlerts(BaseModel):
    """The answer to many alerts."""

    data: AlertCounts = Field(description="what became of them")


class AlertAnswer(RootModel[OneAlert | ManyAlerts]):
    """The answer to one alert, or to many."""


class AlertsIn(RootModel[DetectionAlertData | Many[DetectionAlertData]]):
    """One alert, or many."""


class DetectionAlertView(V1View):
    """Accepts detection alerts."""

    scope = resource = "detection_alert"
    verbs = {"get": "list", "post": "create"}
    parser_classes = (EventsParser,)

    @document_answers(
        AlertAnswer,
        request={
            JSON: AlertsIn,
            NDJSON: {"type": "string", "description": "one alert a line"},
        },
        errors=[409],
    )
    def post(self, request: Request) -> Response:
        """Send detection alerts: one, an array or NDJSON.

        With the answer 200, the accepted alerts are committed. If one of many is not an alert, `rejected` names
        it, and the others are accepted. 409: an alert with this id has other content.
        """
        documents, many = read_documents(request)
        tenant = get_tenant(request)
        count_events(request, tenant, "detection_alert", documents)
        acceptance = accept(tenant, event_type("detection_alert"), documents)
        note_about(request, **describe_intake(tenant.id, "detection_alert", acceptance))
        if many:
            return show_counts(acceptance)
        for rejection in acceptance.rejections:
            raise make_refusal(rejection)
        return Response(show_alert(tenant, acceptance))


def make_refusal(rejection: Rejection) -> Exception:
    """Return the error for a single document that was not accepted."""
    if rejection.conflict:
        return Conflict(rejection.message)
    if rejection.too_large:
        return BodyTooLarge(f"the event {rejection.message}")
    return Invalid([(rejection.field, rejection.message)])


def show_alert(tenant: Tenant, acceptance: Acceptance) -> dict[str, Any]:
    """Return the answer for one alert that was accepted, now or before."""
    if acceptance.events:
        (event,) = acceptance.events
        key, received_at, deliveries = event.key, event.received_at, acceptance.deliveries
    else:
        (key,) = acceptance.duplicates
        known = Event.objects.only("received_at").get(tenant=tenant, type="detection_alert", key=key)
        received_at, deliveries = known.received_at, known.deliveries.count()
    shown = {
        "id": key,
        "tenant_id": tenant.id,
        "received_at": received_at,
        "deliveries": deliveries,
        **count_full(acceptance),
        "duplicate": bool(acceptance.duplicates),
    }
    return {"detection_alert": shown}


def count_full(acceptance: Acceptance) -> dict[str, int]:
    """Return how many deliveries found a full backlog, if there are any."""
    return {"backlog_full": acceptance.backlog_full} if acceptance.backlog_full else {}


def show_counts(acceptance: Acceptance) -> Response:
    """Return the counts. The status is 400 if no document was good."""
    rejected = [
        {"index": rejection.index, "field": rejection.field, "error": rejection.message}
        for rejection in acceptance.rejections
    ]
    counts = {
        "accepted": len(acceptance.keys),
        "duplicates": len(acceptance.duplicates),
        "deliveries": acceptance.deliveries,
        **count_full(acceptance),
        "rejected": rejected,
    }
    if acceptance.keys or acceptance.duplicates:
        return Response({"data": counts})
    message = f"none of the {len(rejected)} events was taken; see data.rejected"
    error = {"code": "invalid", "message": message, "fields": []}
    return Response({"data": counts, "error": error}, status=400)
