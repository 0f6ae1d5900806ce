"""The first page: what needs somebody, and the way to the answer that is asked for most."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from eventsinks.admin import marks
from eventsinks.models import Delivery, EventSink
from eventsinks.models.destination import DestinationState

TROUBLED = 10
NEWEST = 10


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page shows to its context. Its queries cost the same however much there is."""
    context["title"] = "Overview"
    if request.user.has_perm("eventsinks.view_eventsink"):
        context |= {"troubled": troubled(), "counts": counts()}
    if request.user.has_perm("eventsinks.view_delivery"):
        context["newest"] = newest()
    return context


def troubled() -> list[dict[str, Any]]:
    """Return the event sinks that somebody must repair, or that are held back, the latest first."""
    parked_or_held = Q(state=DestinationState.PARKED) | Q(
        state=DestinationState.ACTIVE, held_until__gt=timezone.now()
    )
    sinks = EventSink.objects.filter(parked_or_held).select_related("tenant").order_by("-state_since")
    shown = []
    for sink in sinks[:TROUBLED]:
        tone, status = marks.sink_status(sink)
        shown.append(
            {
                "chip": marks.chip(tone, marks.short(status, 90), status),
                "link": marks.sink_link(sink),
                "tenant": sink.tenant.name,
                "since": marks.moment_mark(sink.state_since),
            }
        )
    return shown


def counts() -> list[dict[str, Any]]:
    """Return how many event sinks are in each state."""
    found = dict(EventSink.objects.order_by().values_list("state").annotate(Count("id")))
    return [
        {"state": state, "label": label, "number": found.get(state, 0)}
        for state, label in DestinationState.choices
    ]


def newest() -> list[dict[str, Any]]:
    """Return the newest deliveries."""
    rows = Delivery.objects.select_related("event", "destination").defer("event__data", "destination__config")
    return [
        {
            "chip": marks.delivery_chip(row.state),
            "link": marks.link("delivery", row.pk, marks.short(row.event.key, 60)),
            "sink": row.destination.name,
            "reason": marks.short(row.reason, 90),
            "since": marks.moment_mark(row.created_at),
        }
        for row in rows.order_by("-id")[:NEWEST]
    ]
