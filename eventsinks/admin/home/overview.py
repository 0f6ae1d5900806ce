"""The first page: one sentence that is true, the last 24 hours, and everything that needs somebody's attention."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from eventsinks.admin.home.day import read_day
from eventsinks.admin.home.trouble import Trouble, find_troubled_integrations, find_troubled_sinks
from eventsinks.admin.parts import marks
from eventsinks.admin.silences.noise import show_noise_on_overview
from eventsinks.models import Clearing, Delivery, EventSink, Finding, Silence, Tenant
from eventsinks.models.counting.read import find_sinks_with_failed
from eventsinks.models.delivery import DeliveryState
from eventsinks.models.event import fill_columns

SHOWN = 10  # rows of a list; the rest is folded
MOST = 500  # rows of a list, folded ones included
TENANTS = 200  # tenants to pick from
NEWEST = 10
SINKS = 10  # those whose newest failures are shown


def fill_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the content of the first page to its context. The cost of its queries does not grow with the history."""
    context["title"] = "Overview"
    tenant = find_tenant(request.GET.get("tenant", ""))
    context |= {"tenant": tenant, "tenants": list(Tenant.objects.order_by("name")[:TENANTS])}
    if request.user.has_perm("eventsinks.view_eventsink"):
        found = find_troubled_sinks(tenant)
        day = read_day(tenant)
        context |= {
            "troubled": fold(found),
            "day": day,
            "sentence": write_sentence(found, day.waiting, day.oldest, tenant),
            "is_well": not found,
            "clearings": find_clearings(tenant),
            "findings": fold(list_findings(tenant)),
        }
    if request.user.has_perm("eventsinks.view_integration"):
        context["stuck"] = fold(find_troubled_integrations(tenant))
    if request.user.has_perm("eventsinks.view_silence"):
        context["silences"] = fold(find_silences(tenant))
    context |= show_noise_on_overview(request)
    if request.user.has_perm("eventsinks.view_delivery"):
        context["failures"] = find_newest_failures(tenant)
    return context


def find_tenant(id: str) -> Tenant | None:
    """Return the tenant that was picked, None for all."""
    try:
        return Tenant.objects.filter(id=UUID(id)).first() if id else None
    except (ValueError, ValidationError):
        return None


def fold(rows: list[Any]) -> dict[str, list[Any]]:
    """Return the first rows, and the rest, which the page folds."""
    return {"first": rows[:SHOWN], "rest": rows[SHOWN:MOST]}


def write_sentence(found: list[Trouble], waiting: int, oldest: str, tenant: Tenant | None) -> str:
    """Return how things are, in one sentence."""
    sinks = EventSink.objects.filter(deleted_at=None)
    total = (sinks.filter(tenant=tenant) if tenant else sinks).count()
    waits = f"{waiting:,} alerts wait" if waiting != 1 else "1 alert waits"
    backlog = f"{waits}, the oldest for {oldest}" if waiting else "nothing waits"
    words = [f"{n} {word}" for word, n in Counter(one.word for one in found).items()]  # the worst first
    if not words:
        return f"All well: no event sink of {total} is failing, and {backlog}."
    need = "needs" if len(found) == 1 else "need"
    return f"{len(found)} of {total} event sinks {need} somebody ({', '.join(words)}); {backlog}."


def find_clearings(tenant: Tenant | None) -> list[dict[str, Any]]:
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
        for one in (running.filter(tenant=tenant) if tenant else running)[:SHOWN]
    ]


def list_findings(tenant: Tenant | None) -> list[dict[str, Any]]:
    """Return what the audit found missing, and nobody has dismissed."""
    found = Finding.objects.filter(dismissed_at=None)
    names = dict(Tenant.objects.filter(id__in=found.values("tenant_id")).values_list("id", "name"))
    return [
        {
            "detail": one.detail,
            "tenant": names.get(one.tenant_id, "") if one.tenant_id else "",
            "since": marks.mark_moment(one.found_at),
        }
        for one in (found.filter(tenant_id=tenant.id) if tenant else found)[:MOST]
    ]


def find_silences(tenant: Tenant | None) -> list[dict[str, Any]]:
    """Return the silences in force. The one that ends first comes first."""
    found = Silence.objects.in_force().select_related("tenant", "destination").order_by("ends_at")
    return [
        {
            "link": marks.make_link("silence", one.pk, marks.shorten(one.reason, 90)),
            "where": one.destination.name if one.destination else "all event sinks",
            "tenant": one.tenant.name,
            "ends": marks.mark_moment(one.ends_at),
        }
        for one in (found.filter(tenant=tenant) if tenant else found)[:MOST]
    ]


def find_newest_failures(tenant: Tenant | None) -> list[dict[str, Any]]:
    """Return the newest failed deliveries of the sinks for which most fails, by the names of their events."""
    ids: list[UUID] = []
    for sink in find_sinks_with_failed(tenant.id if tenant else None, SINKS):
        for fell_back in (False, True):  # so that the index of failed deliveries has them in order
            failed = Delivery.objects.filter(destination_id=sink, state=DeliveryState.FAILED, fell_back=fell_back)
            ids += failed.order_by("-id").values_list("id", flat=True)[:NEWEST]
    rows = Delivery.objects.filter(id__in=sorted(ids, reverse=True)[:NEWEST]).order_by("-id")
    newest = list(rows.select_related("event", "destination").defer("event__data", "destination__config"))
    fill_columns([row.event for row in newest])
    return [
        {
            "link": marks.make_link("delivery", row.pk, marks.shorten(row.event.name, 80)),
            "sink": row.destination.name,
            "reason": marks.shorten(row.reason, 120),
            "since": marks.mark_moment(row.created_at),
        }
        for row in newest
    ]
