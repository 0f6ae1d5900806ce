"""Detection alerts over /v1: list them, get one, and explain where it went."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from django.db.models import Prefetch, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions.explain import explain_event
from eventsinks.actions.expunge import expunge_event
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.json import JSONParser
from eventsinks.api.v1.alert_query import SEARCH, AlertQuery, keep_wanted
from eventsinks.api.v1.detection_alert_intake import DetectionAlertView
from eventsinks.api.v1.shapes import AttemptOut, make_one_model, make_page_model, show_attempt
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    V1View,
    answer_page,
    document_answers,
    read_query,
    require_tenant,
)
from eventsinks.event_types.detection_alert import DetectionAlertData
from eventsinks.models import Delivery, Event
from eventsinks.models.delivery import DeliveryState

# The sender chooses the id.
KEY = OpenApiParameter("key", str, OpenApiParameter.PATH, description="the id of the alert, percent-encoded")


class AlertDeliveryOut(BaseModel):
    """The state of an alert at one event sink."""

    id: UUID = Field(description="the id of the delivery")
    event_sink_id: UUID = Field(description="where it goes")
    event_sink_name: str = Field(description="the name of the event sink")
    state: DeliveryState = Field(description="what became of it")
    tries: int = Field(description="how often it was tried since it had fresh tries")
    reason: str = Field(description="why it is so")


class DetectionAlertOut(BaseModel):
    """The main fields of an alert."""

    id: str = Field(description="its id, its sender's or one that was made")
    tenant_id: UUID = Field(description="whose it is")
    name: str = Field(description="what happened")
    severity: str = Field(description="how bad it is, as `High`")
    status: str = Field(description="`firing`, `acknowledged` or `resolved`")
    occurred_at: datetime = Field(description="when it happened")
    received_at: datetime = Field(description="when it was accepted")
    expunged_at: datetime | None = Field(description="when its data was taken away for good; else null")
    deliveries: list[AlertDeliveryOut] = Field(description="what became of it, at each event sink")


class AcceptedAlertData(DetectionAlertData):
    """An alert with the bytes that were accepted."""

    model_config = ConfigDict(extra="allow")


class WholeDetectionAlert(DetectionAlertOut):
    """An alert with all fields that it was sent with."""

    data: AcceptedAlertData | None = Field(
        description="the alert, to the byte as it was accepted; null: it was expunged"
    )


class VerdictOut(BaseModel):
    """Whether an alert was routed to an event sink, and why."""

    event_sink_id: UUID = Field(description="the event sink")
    event_sink_name: str = Field(description="its name")
    verdict: DeliveryState | Literal["not_sent"] = Field(description="the state of the delivery, or `not_sent`")
    why: str = Field(description="why, in words")
    delivery_id: UUID | None = Field(description="the delivery, where there is one")
    attempts: list[AttemptOut] = Field(description="every try, oldest first")


class Explanation(BaseModel):
    """Why an alert was routed to its event sinks."""

    detection_alert_id: str = Field(description="the alert")
    expunged_at: datetime | None = Field(description="when its data was taken away for good; else null")
    event_sinks: list[VerdictOut] = Field(description="every event sink of the tenant")


AlertPage = make_page_model("detection_alerts", DetectionAlertOut)
OneExpunged = make_one_model("detection_alert", DetectionAlertOut)
WholeAlert = make_one_model("detection_alert", WholeDetectionAlert)


class DetectionAlerts(DetectionAlertView):
    """POST accepts alerts, GET lists accepted ones."""

    def get_parsers(self) -> list[Any]:
        """Return the parsers. The body of a POST stays bytes; the body of a GET is a JSON query."""
        asks = self.request is not None and self.request.method in SAFE_METHODS  # None: for the schema
        return [JSONParser()] if asks else super().get_parsers()

    @document_answers(AlertPage, parameters=[TENANT, *SEARCH, *PAGING])
    def get(self, request: Request) -> Response:
        """List detection alerts, newest first. Each has its state at its event sinks."""
        query = read_query(AlertQuery, request)
        require_tenant(request, query.tenant_id)
        found = keep_wanted(find_alerts(request), query, get_tenant(request).id)
        return answer_page("detection_alerts", found, query.page, show_alert)


class DetectionAlertDetail(V1View):
    """One detection alert."""

    scope = resource = "detection_alert"
    verbs = {"get": "get", "delete": "expunge"}

    @document_answers(WholeAlert, parameters=[KEY])
    def get(self, request: Request, key: str) -> Response:
        """Get a detection alert. It has the bytes that were accepted, and its state at its event sinks.

        If it was expunged, `data` is null, and `expunged_at` says since when.
        """
        event = find_alert(request, key)
        data = None if event.expunged_at else orjson.Fragment(bytes(event.data))
        return Response({"detection_alert": {**show_alert(event), "data": data}})

    @document_answers(OneExpunged, parameters=[KEY])
    def delete(self, request: Request, key: str) -> Response:
        """Expunge a detection alert. Its data is gone for good, and nothing of it is sent any more.

        That it was accepted, and what became of its deliveries, stays on record. Again: the answer is the same.
        """
        event = find_alert(request, key)
        expunge_event(event, get_initiator(request))
        return Response({"detection_alert": show_alert(find_alert(request, key))})


class DetectionAlertExplain(V1View):
    """Why an alert was routed to its event sinks."""

    scope = resource = "detection_alert"
    verbs = {"get": "explain"}

    @document_answers(Explanation, parameters=[KEY])
    def get(self, request: Request, key: str) -> Response:
        """Explain an alert. For each event sink, the answer has its state, the reason, and every attempt."""
        event = find_alert(request, key)
        verdicts = [
            {
                "event_sink_id": found.sink.uuid,
                "event_sink_name": found.sink.name,
                "verdict": found.verdict,
                "why": found.why,
                "delivery_id": found.delivery.id if found.delivery else None,
                "attempts": [show_attempt(attempt) for attempt in found.attempts],
            }
            for found in explain_event(event)
        ]
        told = {"detection_alert_id": event.key, "expunged_at": event.expunged_at, "event_sinks": verdicts}
        return Response(told)


def find_alerts(request: Request) -> QuerySet[Event]:
    """Return the detection alerts of the key's tenant, with their deliveries."""
    deliveries = Prefetch("deliveries", Delivery.objects.select_related("destination").order_by("id"))
    return Event.objects.filter(tenant=get_tenant(request), type="detection_alert").prefetch_related(deliveries)


def find_alert(request: Request, key: str) -> Event:
    """Return the tenant's alert of this id. Raises Http404."""
    event = find_alerts(request).filter(key=key).first() if "\0" not in key else None
    if event is None:
        raise Http404("no such detection alert")
    return event


def show_alert(event: Event) -> dict[str, Any]:
    """Return the main fields of an alert, with its state at each event sink."""
    summary = event.summary
    return {
        "id": event.key,
        "tenant_id": event.tenant_id,
        "name": summary.title,
        "severity": summary.severity,
        "status": summary.status,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "expunged_at": event.expunged_at,
        "deliveries": [
            {
                "id": delivery.id,
                "event_sink_id": delivery.destination.uuid,
                "event_sink_name": delivery.destination.name,
                "state": delivery.state,
                "tries": delivery.tries,
                "reason": delivery.reason,
            }
            for delivery in event.deliveries.all()
        ],
    }
