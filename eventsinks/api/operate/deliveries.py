"""Deliveries over /v1: see them with their attempts, and give them fresh tries."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions.replay import replay
from eventsinks.api.authentication import tenant_of
from eventsinks.api.operate.shapes import Free, attempt_out, delivery_out
from eventsinks.api.v1 import PAGING, Paging, Query, V1View, documented, find, page_of, paged, read_query
from eventsinks.models import Delivery


class DeliveryQuery(Paging):
    """Which deliveries: of one event sink, in one state, with one HTTP status class, whose reason holds a text."""

    event_sink_id: UUID | None = None
    detection_alert_id: Query | None = None
    state: Literal["pending", "sending", "delivered", "failed", "suppressed"] | None = None
    status_class: Annotated[int, Field(ge=1, le=5)] | None = None
    reason: Query | None = None


class DeliveryViewSet(V1View, ViewSet):
    """Deliveries: see them, and give them fresh tries."""

    scope = "delivery"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @documented(Free, parameters=PAGING)
    def list(self, request: Request) -> Response:
        """List deliveries, newest first."""
        asked = read_query(DeliveryQuery, request)
        found, token = page_of(filtered(deliveries_of(request), asked), asked)
        return Response(paged("deliveries", [delivery_out(delivery) for delivery in found], token))

    @documented(Free)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a delivery with its attempts."""
        delivery = find(deliveries_of(request), id)
        attempts = [attempt_out(attempt) for attempt in delivery.attempts.order_by("id")]
        return Response({"delivery": {**delivery_out(delivery), "attempts": attempts}})

    @documented(Free, request=None)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:
        """Give a delivery that ended a fresh set of tries; one that waits is tried now."""
        delivery = find(deliveries_of(request), id)
        moved = replay(Delivery.objects.filter(id=delivery.id))
        return Response({"delivery": delivery_out(find(deliveries_of(request), id)), "replayed": bool(moved)})


def deliveries_of(request: Request) -> Any:
    """Return the deliveries of the key's tenant, with what is shown of them."""
    related = Delivery.objects.of_tenant(tenant_of(request).id).select_related("destination", "event")
    return related.defer("event__data")


def filtered(deliveries: Any, asked: DeliveryQuery) -> Any:
    """Return the deliveries that were asked for."""
    if asked.event_sink_id:
        deliveries = deliveries.filter(destination__uuid=asked.event_sink_id)
    if asked.detection_alert_id:
        deliveries = deliveries.filter(event__key=asked.detection_alert_id, event__type="detection_alert")
    if asked.state:
        deliveries = deliveries.filter(state=asked.state)
    if asked.status_class:
        first = asked.status_class * 100
        deliveries = deliveries.filter(status__gte=first, status__lt=first + 100)
    if asked.reason:
        deliveries = deliveries.filter(reason__icontains=asked.reason)
    return deliveries
