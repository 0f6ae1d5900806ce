"""Explain: tells for one event and each sink of its tenant what became of it and why."""

from __future__ import annotations

from dataclasses import dataclass

from eventsinks.actions.obstacles import describe_obstacle, find_obstacle
from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.models.delivery import DeliveryState


@dataclass(frozen=True, slots=True)
class SinkExplanation:
    """One sink, what became of the event there, and why, in words for people."""

    sink: Destination
    verdict: str
    why: str
    delivery: Delivery | None = None
    attempts: tuple[Attempt, ...] = ()


def explain_event(event: Event) -> list[SinkExplanation]:
    """Return a verdict for each sink: those it was owed to first, then those it did not go to."""
    deliveries = list(event.deliveries.select_related("destination").order_by("id"))
    attempts: dict[object, list[Attempt]] = {}
    for attempt in Attempt.objects.filter(delivery__in=deliveries).order_by("id"):
        attempts.setdefault(attempt.delivery_id, []).append(attempt)
    owed = [
        SinkExplanation(
            delivery.destination,
            delivery.state,
            explain_delivery(delivery),
            delivery,
            tuple(attempts.get(delivery.id, ())),
        )
        for delivery in deliveries
    ]
    others = Destination.objects.of(event.tenant).sinks().exclude(id__in=[d.destination_id for d in deliveries])
    return owed + [
        SinkExplanation(sink, "not_sent", explain_absence(sink, event)) for sink in others.order_by("id")
    ]


def explain_delivery(delivery: Delivery) -> str:
    """Return why a delivery is in its state, and what happens next."""
    if delivery.state == DeliveryState.PENDING:
        return f"waits{describe_obstacle(delivery, find_obstacle(delivery))}"
    if delivery.state == DeliveryState.SENDING:
        return f"is being sent, try {delivery.tries}"
    if delivery.state == DeliveryState.DELIVERED:
        return f"was taken by the far end with status {delivery.status}, try {delivery.tries}"
    return delivery.reason


def explain_absence(sink: Destination, event: Event) -> str:
    """Return why an event has no delivery at a sink."""
    if event.expunged_at is not None:
        return "the alert was expunged; what it said is not known any more"
    document = event.document
    if document.get("staging"):
        return "the alert is staging: kept and sent nowhere"
    if sink.created_at > event.received_at:
        return "the event sink was created after the event came in"
    if event.type not in sink.event_types:
        return f"the event sink does not hear events of type {event.type}"
    if document.get("event_sink_ids") is not None:
        return "the alert names other event sinks in event_sink_ids"
    return "the event sink did not hear this when the event came in"
