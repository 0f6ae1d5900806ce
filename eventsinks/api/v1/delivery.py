"""Deliveries over /v1: list them, get them with their attempts, replay them and skip them."""

from __future__ import annotations

from typing import Annotated, Any, cast
from uuid import UUID

from django.http import Http404
from pydantic import BaseModel, Field
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions.replaying.kept import find_kept_since
from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.skip import skip_deliveries
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.errors import Gone
from eventsinks.api.queries import Text
from eventsinks.api.v1.alert_query import OF_AN_ALERT, AlertWanted, keep_of_alerts
from eventsinks.api.v1.shapes import (
    AttemptOut,
    DeliveryOut,
    make_one_model,
    make_page_model,
    show_attempt,
    show_delivery,
)
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    V1View,
    answer_page,
    document_answers,
    find_row,
    make_parameter,
    read_query,
    require_tenant,
)
from eventsinks.event_types.documents import write_time
from eventsinks.models import Delivery, Tenant
from eventsinks.models.delivery import DeliveryState, make_least_id
from eventsinks.models.replay import make_id_after


class DeliveryQuery(AlertWanted):
    """Which deliveries: by event sink, state, HTTP status, a text in the reason, and what their alerts have."""

    event_sink_id: UUID | None = None
    detection_alert_id: Text | None = None
    state: DeliveryState | None = None
    status_class: Annotated[int, Field(ge=1, le=5)] | None = None
    status_code: Annotated[int, Field(ge=100, le=599)] | None = None
    reason: Text | None = None


FILTERS = [
    make_parameter("event_sink_id", "of one event sink", type="string", format="uuid"),
    make_parameter("detection_alert_id", "of one alert", type="string", maxLength=1000),
    make_parameter("state", "in one state", type="string", enum=DeliveryState.values),
    make_parameter("status_class", "5 for 500–599", type="integer", minimum=1, maximum=5),
    make_parameter("status_code", "of one HTTP status", type="integer", minimum=100, maximum=599),
    make_parameter("reason", "a part of the reason", type="string", maxLength=1000),
    make_parameter("since", "made then or later", type="string", format="date-time"),
    make_parameter("until", "made then or before; a day is meant to its end", type="string", format="date-time"),
    *OF_AN_ALERT,
]


class DeliveryWithAttempts(DeliveryOut):
    """A delivery with its attempts."""

    attempts: list[AttemptOut] = Field(description="every try, oldest first")


DeliveryPage = make_page_model("deliveries", DeliveryOut)
OneDelivery = make_one_model("delivery", DeliveryWithAttempts)


class ReplayedDelivery(BaseModel):
    """The answer to a replay of a delivery."""

    delivery: DeliveryOut = Field(description="the delivery, as it is now")
    replayed: bool = Field(description="false where there was nothing to do")


class SkippedDelivery(BaseModel):
    """The answer to a skip of a delivery."""

    delivery: DeliveryOut = Field(description="the delivery, as it is now")
    skipped: bool = Field(description="false where there was nothing to do")


class DeliveryViewSet(V1View, ViewSet):
    """List, get, replay and skip deliveries."""

    scope = resource = "delivery"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(DeliveryPage, parameters=[TENANT, *FILTERS, *PAGING])
    def list(self, request: Request) -> Response:
        """List deliveries, newest first."""
        query = read_query(DeliveryQuery, request)
        require_tenant(request, query.tenant_id)
        found = keep_of_alerts(find_deliveries(request), query, get_tenant(request).id)
        found = filter_deliveries(found, query)
        return answer_page("deliveries", found, query.page, show_delivery)

    @document_answers(OneDelivery)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a delivery with its attempts."""
        delivery = find_row(find_deliveries(request), id)
        attempts = [show_attempt(attempt) for attempt in delivery.attempts.order_by("id")]
        return Response({"delivery": {**show_delivery(delivery), "attempts": attempts}})

    @document_answers(ReplayedDelivery, request=None, errors=[410])
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:
        """Replay a delivery. If it has ended, it gets a fresh set of tries. If it waits, it is tried now.

        410: its event was expunged, or the delivery is older than what is kept.
        """
        delivery = find_kept_delivery(request, id)
        moved = replay(Delivery.objects.filter(id=delivery.id), get_initiator(request))
        return Response(
            {"delivery": show_delivery(find_row(find_deliveries(request), id)), "replayed": bool(moved)}
        )

    @document_answers(SkippedDelivery, request=None)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, id: str) -> Response:
        """Skip a delivery that waits or failed. It is suppressed, and the deliveries behind it are sent."""
        delivery = find_row(find_deliveries(request), id)
        moved = skip_deliveries(Delivery.objects.filter(id=delivery.id), get_initiator(request))
        return Response(
            {"delivery": show_delivery(find_row(find_deliveries(request), id)), "skipped": bool(moved)}
        )


def find_deliveries(request: Request) -> Any:
    """Return the deliveries of the key's tenant, with the rows that an answer needs."""
    related = Delivery.objects.of_tenant(get_tenant(request).id).select_related("destination", "event")
    return related.defer("event__data")


def find_kept_delivery(request: Request, id: str) -> Delivery:
    """Return a delivery that can be replayed. Raises Http404 and Gone.

    The id of a delivery says when it was made: whether that is older than what is kept depends on nothing else.
    """
    try:
        delivery = find_row(find_deliveries(request), id)
    except Http404:
        if was_deleted(get_tenant(request), id):
            raise Gone("deliveries of that time are not kept any more: they can't be sent again") from None
        raise
    if delivery.event.expunged_at is not None:
        at = write_time(delivery.event.expunged_at)
        raise Gone(f"the data of its event was expunged at {at}: it can't be sent again")
    return cast(Delivery, delivery)


def was_deleted(tenant: Tenant, id: str) -> bool:
    """Return whether a delivery with this id would be older than all that the tenant keeps."""
    try:
        made = UUID(id)
    except ValueError:
        return False
    return made.version == 7 and Delivery(id=made).created_at < find_kept_since(tenant)


def filter_answers(deliveries: Any, query: DeliveryQuery) -> Any:
    """Return the deliveries whose last answer has the status that the query asks for."""
    if query.status_code:
        deliveries = deliveries.filter(status=query.status_code)
    if query.status_class:
        first = query.status_class * 100
        deliveries = deliveries.filter(status__gte=first, status__lt=first + 100)
    return deliveries


def filter_deliveries(deliveries: Any, query: DeliveryQuery) -> Any:
    """Return the deliveries that match the query."""
    if query.event_sink_id:
        deliveries = deliveries.filter(destination__uuid=query.event_sink_id)
    if query.detection_alert_id:
        deliveries = deliveries.filter(event__key=query.detection_alert_id, event__type="detection_alert")
    if query.state:
        deliveries = deliveries.filter(state=query.state)
    deliveries = filter_answers(deliveries, query)
    if query.reason:
        deliveries = deliveries.filter(reason__icontains=query.reason)
    if query.since:
        deliveries = deliveries.filter(id__gte=make_least_id(query.since))
    if query.until:
        deliveries = deliveries.filter(id__lt=make_id_after(query.until))
    return deliveries
