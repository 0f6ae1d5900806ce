"""Detection alerts over /v1: what was accepted, what became of it, and why."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import Prefetch, QuerySet
from django.http import Http404
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions.explain import explain_event
from eventsinks.api.authentication import get_tenant
from eventsinks.api.json import JSONParser
from eventsinks.api.v1.detection_alert_intake import DetectionAlertView
from eventsinks.api.v1.shapes import Free, show_attempt
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    Listing,
    V1View,
    document_answers,
    read_page,
    read_query,
    require_tenant,
    show_page,
)
from eventsinks.models import Delivery, Event


class DetectionAlerts(DetectionAlertView):
    """POST takes alerts in; GET shows what was accepted."""

    def get_parsers(self) -> list[Any]:
        """Return what reads the body: as bytes where alerts come in, as a question where they are listed."""
        asks = self.request is not None and self.request.method in SAFE_METHODS  # None: for the schema
        return [JSONParser()] if asks else super().get_parsers()

    @document_answers(Free, parameters=[TENANT, *PAGING], operation_id="v1_detection_alert_list")
    def get(self, request: Request) -> Response:
        """List detection alerts, newest first, with what became of each at its event sinks."""
        asked = read_query(Listing, request)
        require_tenant(request, asked.tenant_id)
        found, token = read_page(find_alerts(request), asked.page)
        return Response(show_page("detection_alerts", [show_alert(event) for event in found], token))


class DetectionAlertDetail(V1View):
    """One detection alert."""

    scope = "detection_alert"

    @document_answers(Free, operation_id="v1_detection_alert_retrieve")
    def get(self, request: Request, key: str) -> Response:
        """Get a detection alert, as accepted, with what became of it."""
        event = find_alert(request, key)
        return Response({"detection_alert": {**show_alert(event), "data": orjson.Fragment(bytes(event.data))}})


class DetectionAlertExplain(V1View):
    """Why an alert went where it went."""

    scope = "detection_alert"

    @document_answers(Free, operation_id="v1_detection_alert_explain")
    def get(self, request: Request, key: str) -> Response:
        """Say for each event sink what became of the alert and why, with every attempt."""
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
        return Response({"detection_alert_id": event.key, "event_sinks": verdicts})


def find_alerts(request: Request) -> QuerySet[Event]:
    """Return the detection alerts of the key's tenant, with what became of them."""
    deliveries = Prefetch("deliveries", Delivery.objects.select_related("destination").order_by("id"))
    return Event.objects.filter(tenant=get_tenant(request), type="detection_alert").prefetch_related(deliveries)


def find_alert(request: Request, key: str) -> Event:
    """Return the tenant's alert of this id. Raises Http404."""
    event = find_alerts(request).filter(key=key).first() if "\0" not in key else None
    if event is None:
        raise Http404("no such detection alert")
    return event


def show_alert(event: Event) -> dict[str, Any]:
    """Return an alert in short, with what became of it at each event sink."""
    summary = event.summary
    return {
        "id": event.key,
        "tenant_id": event.tenant_id,
        "name": summary.title,
        "severity": summary.severity,
        "status": summary.status,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
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
