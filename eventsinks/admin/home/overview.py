"""The first page: what needs somebody's attention, and the answers that people need most often."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from eventsinks.admin.parts import marks
from eventsinks.admin.silences.noise import show_noise_on_overview
from eventsinks.models import Batch, Clearing, Delivery, Destination, EventSink, Integration, Silence
from eventsinks.models.destination import DestinationState
from eventsinks.models.event import fill_columns
from eventsinks.models.stream.batch import BatchState

TROUBLED = 10
NEWEST = 10
LOOKED_AT = 100  # batches that are tried again
PARKED = Q(state=DestinationState.PARKED)


def fill_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the content of the first page to its context. The cost of its queries does not grow with the data."""
    context["title"] = "Overview"
    if request.user.has_perm("eventsinks.view_eventsink"):
        context |= {
            "troubled": find_troubled(EventSink.objects.all()),
            "counts": count_sinks(),
            "clearings": find_clearings(),
        }
    if request.user.has_perm("eventsinks.view_integration"):
        context["stuck"] = find_troubled(Integration.objects.all()) + find_failing()
    if request.user.has_perm("eventsinks.view_silence"):
        context["silences"] = find_silences()
    context |= show_noise_on_overview(request)
    if request.user.has_perm("eventsinks.view_delivery"):
        context["newest"] = find_newest()
    return context


def find_troubled(destinations: QuerySet[Any]) -> list[dict[str, Any]]:
    """Return the destinations that somebody must repair and those that are held, latest first."""
    found = destinations.filter(PARKED | find_held()).select_related("tenant").order_by("-state_since")
    return [show_trouble(one, *marks.name_status(one), one.state_since) for one in found[:TROUBLED]]


def find_clearings() -> list[dict[str, Any]]:
    """Return the running clearings, of sinks that were deleted or resumed without their backlog."""
    running = Clearing.objects.running().select_related("destination", "tenant").order_by("-id")
    return [
        {
            "link": marks.link_sink(one.destination),
            "tenant": one.tenant.name,
            "reason": one.reason,
            "done": f"{one.suppressed:,}",
            "since": marks.mark_moment(one.asked_at),
        }
        for one in running[:TROUBLED]
    ]


def find_held() -> Q:
    """Return the condition for destinations whose far end asked for a pause."""
    return Q(state=DestinationState.ACTIVE, held_until__gt=Now())


def find_failing() -> list[dict[str, Any]]:
    """Return the integrations whose batch failed and is tried again. Each has at most one open batch."""
    batches = Batch.objects.filter(state=BatchState.OPEN, tries__gt=0).exclude(reason="").defer("members")
    why = {batch.destination_id: batch for batch in batches[:LOOKED_AT]}
    found = Integration.objects.filter(pk__in=why, state=DestinationState.ACTIVE).exclude(find_held())
    return [
        show_trouble(one, "warning", f"Trying again: {why[one.pk].reason}", why[one.pk].created_at)
        for one in found.select_related("tenant")[:TROUBLED]
    ]


def show_trouble(one: Destination, tone: marks.Tone, status: str, since: datetime) -> dict[str, Any]:
    """Return a destination that needs somebody, for the page."""
    return {
        "chip": marks.make_chip(tone, marks.shorten(status, 90), status),
        "link": marks.link_sink(one),
        "tenant": one.tenant.name,
        "since": marks.mark_moment(since),
    }


def find_silences() -> list[dict[str, Any]]:
    """Return the silences in force. The one that ends first comes first."""
    found = Silence.objects.in_force().select_related("tenant", "destination").order_by("ends_at")
    return [
        {
            "link": marks.make_link("silence", one.pk, marks.shorten(one.reason, 90)),
            "where": one.destination.name if one.destination else "all event sinks",
            "tenant": one.tenant.name,
            "ends": marks.mark_moment(one.ends_at),
        }
        for one in found[:TROUBLED]
    ]


def count_sinks() -> list[dict[str, Any]]:
    """Return how many event sinks are in each state."""
    found = dict(EventSink.objects.order_by().values_list("state").annotate(Count("id")))
    return [
        {"state": state, "label": label, "number": found.get(state, 0)}
        for state, label in DestinationState.choices
    ]


def find_newest() -> list[dict[str, Any]]:
    """Return the newest deliveries."""
    rows = Delivery.objects.select_related("event", "destination").defer("event__data", "destination__config")
    newest = list(rows.order_by("-id")[:NEWEST])
    fill_columns([row.event for row in newest])
    return [
        {
            "chip": marks.make_delivery_chip(row.state),
            "link": marks.make_link("delivery", row.pk, marks.shorten(row.event.name, 60)),
            "sink": row.destination.name,
            "reason": marks.shorten(row.reason, 90),
            "since": marks.mark_moment(row.created_at),
        }
        for row in newest
    ]
