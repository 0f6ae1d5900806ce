"""Taking events in: POST /v1/detection_alert. One alert, a JSON array, or NDJSON; committed before the answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, RootModel
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.api.authentication import get_tenant
from eventsinks.api.documents import EventsParser, Many, read_documents
from eventsinks.api.errors import Conflict, ErrorResponse, Invalid
from eventsinks.api.json import BodyTooLarge
from eventsinks.api.limits import count_events
from eventsinks.api.media_types import JSON, NDJSON
from eventsinks.api.v1.view import V1View, document_answers
from eventsinks.event_types import event_type
from eventsinks.event_types.detection_alert import DetectionAlertData
from eventsinks.intake.accept import Acceptance, Rejection, accept
from eventsinks.models import Event, Tenant


class OneAccepted(BaseModel):
    """One alert as it was accepted. `deliveries` is how many event sinks it is owed to.

    `backlog_full`, where it is not 0: at how many it has failed at once, because too many deliveries wait there. A
    replay sends it.
    """

    id: str
    tenant_id: str
    received_at: datetime
    deliveries: int
    backlog_full: int = 0
    duplicate: bool


class OneAlert(BaseModel):
    """The answer to one alert."""

    detection_alert: OneAccepted


class RejectedAlert(BaseModel):
    """One document that was not taken. `index` counts from 0."""

    index: int
    field: str
    error: str


class AlertCounts(BaseModel):
    """What became of many alerts."""

    accepted: int
    duplicates: int
    deliveries: int
    backlog_full: int = 0
    rejected: list[RejectedAlert]


class ManyAlerts(BaseModel):
    """The answer to many alerts."""

    data: AlertCounts


class AlertAnswer(RootModel[OneAlert | ManyAlerts]):
    """The answer to one alert, or to many."""


class AlertsIn(RootModel[DetectionAlertData | Many[DetectionAlertData]]):
    """One alert, or many."""


class DetectionAlertView(V1View):
    """Take in detection alerts."""

    scope = "detection_alert"
    parser_classes = (EventsParser,)

    @document_answers(
        AlertAnswer,
        request={
            JSON: AlertsIn,
            NDJSON: {"type": "string", "description": "one alert a line"},
        },
        operation_id="v1_detection_alert_create",
        errors={409: ErrorResponse},
    )
    def post(self, request: Request) -> Response:
        """Take in one alert, an array or NDJSON. When this answers 200, what it says is committed."""
        documents, many = read_documents(request)
        tenant = get_tenant(request)
        count_events(tenant, "detection_alert", documents)
        acceptance = accept(tenant, event_type("detection_alert"), documents)
        if many:
            return show_counts(acceptance)
        for rejection in acceptance.rejections:
            raise make_refusal(rejection)
        return Response({"detection_alert": show_one(tenant, acceptance)})


def make_refusal(rejection: Rejection) -> Exception:
    """Return the error that says why the one document was not taken."""
    if rejection.conflict:
        return Conflict(rejection.message)
    if rejection.too_large:
        return BodyTooLarge(f"the event {rejection.message}")
    return Invalid([(rejection.field, rejection.message)])


def show_one(tenant: Tenant, acceptance: Acceptance) -> dict[str, Any]:
    """Return what is said of the one alert that was taken, or that was there already."""
    (key,) = acceptance.keys or acceptance.duplicates
    event = Event.objects.only("received_at").get(tenant=tenant, type="detection_alert", key=key)
    return {
        "id": key,
        "tenant_id": tenant.id,
        "received_at": event.received_at,
        "deliveries": acceptance.deliveries if acceptance.keys else event.deliveries.count(),
        **count_full(acceptance),
        "duplicate": bool(acceptance.duplicates),
    }


def count_full(acceptance: Acceptance) -> dict[str, int]:
    """Return how many deliveries found no room, if any did."""
    return {"backlog_full": acceptance.backlog_full} if acceptance.backlog_full else {}


def show_counts(acceptance: Acceptance) -> Response:
    """Return the counts; 400 where nothing was good."""
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
