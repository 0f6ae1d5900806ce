"""Explain: for one event and each sink of its tenant, what became of it and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.models.clock import database_now
from eventsinks.models.delivery import DeliveryState, before
from eventsinks.models.destination import DestinationState


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sink, what became of the event there, and why, in words for people."""

    sink: Destination
    verdict: str
    why: str
    delivery: Delivery | None = None
    attempts: tuple[Attempt, ...] = ()


def explain(event: Event) -> list[Verdict]:
    """Return a verdict for each sink: those it was owed to first, then those it did not go to."""
    deliveries = list(event.deliveries.select_related("destination").order_by("id"))
    attempts: dict[object, list[Attempt]] = {}
    for attempt in Attempt.objects.filter(delivery__in=deliveries).order_by("id"):
        attempts.setdefault(attempt.delivery_id, []).append(attempt)
    owed = [
        Verdict(
            delivery.destination,
            delivery.state,
            why(delivery),
            delivery,
            tuple(attempts.get(delivery.id, ())),
        )
        for delivery in deliveries
    ]
    others = Destination.objects.of(event.tenant).sinks().exclude(id__in=[d.destination_id for d in deliveries])
    return owed + [Verdict(sink, "not_sent", why_not(sink, event)) for sink in others.order_by("id")]


def why(delivery: Delivery) -> str:
    """Say why a delivery stands where it stands, and what happens next."""
    if delivery.state == DeliveryState.PENDING:
        return f"waits{waits_for(delivery)}"
    if delivery.state == DeliveryState.SENDING:
        return f"is being sent, try {delivery.tries}"
    if delivery.state == DeliveryState.DELIVERED:
        return f"was taken by the far end with status {delivery.status}, try {delivery.tries}"
    return delivery.reason


def waits_for(delivery: Delivery) -> str:
    """Say what a pending delivery waits for: what stands in the way of all of its sink's first."""
    sink, now = delivery.destination, database_now()
    if in_the_way := sink_waits_for(sink):
        return in_the_way
    if sink.held_until and sink.held_until > now:
        return f" until {clock(sink.held_until)}: the far end asked for a pause"
    if delivery.is_behind:
        return f" for {earlier_of(delivery)}"
    if delivery.tries and delivery.due_at > now:
        return f" for try {delivery.tries + 1} at {clock(delivery.due_at)}: {delivery.reason}"
    if sink.rate_limit_per_s and sink.limited_until and sink.limited_until > now:
        return f": the event sink is sent at most {sink.rate_limit_per_s:g} messages a second"
    return f" for try {delivery.tries + 1}: {delivery.reason}" if delivery.tries else " for its first try"


def sink_waits_for(sink: Destination) -> str:
    """Say what must happen to a sink before it is sent to; "" where it is active."""
    if sink.deleted_at:
        return " to be suppressed: the event sink was deleted"
    if sink.state == DestinationState.RESUMING:
        return ": the event sink is resuming; what it skips is suppressed first"
    if sink.state == DestinationState.PAUSED:
        return ": the event sink is paused"
    if sink.state == DestinationState.PARKED:
        return f": the event sink is parked, since {sink.state_reason}"
    return ""


def earlier_of(delivery: Delivery) -> str:
    """Say which earlier delivery one waits for, and what can be done about it."""
    first = before(delivery)
    if first is None:
        return "its turn, which comes at once"
    what = "alert of the same incident" if delivery.destination.orders_incidents else "event in the same order"
    failed = ", which failed: replay or skip it" if first.state == DeliveryState.FAILED else ""
    return f"an earlier {what} (delivery {first.id}){failed}"


def clock(moment: datetime) -> str:
    """Return a moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def why_not(sink: Destination, event: Event) -> str:
    """Say why an event is not owed to a sink."""
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
