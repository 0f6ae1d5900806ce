"""Noisy rules: the rules with the most alerts, each with buttons that silence it for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.silence import make_rule_filter, silence_rule
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.alerts import make_severity_chip
from eventsinks.admin.parts.base import ModelAdmin, get_initiator
from eventsinks.admin.parts.search_filters import MANY_BEHIND
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Event, Silence
from eventsinks.models.event import fill_columns
from eventsinks.models.search.noise import Noise, NoisyRule, count_noise
from eventsinks.models.search.progress import count_behind

LENGTHS = {
    "30m": ("30 min", timedelta(minutes=30)),
    "2h": ("2 h", timedelta(hours=2)),
    "8h": ("8 h", timedelta(hours=8)),
    "24h": ("24 h", timedelta(hours=24)),
}
PERIODS = {"hour": ("last hour", timedelta(hours=1)), "day": ("last 24 hours", timedelta(days=1))}
ON_OVERVIEW, COUNTED_ON_OVERVIEW = 3, 20_000
BAR = 120  # pixels of the longest bar


def show_noise(request: HttpRequest) -> dict[str, Any]:
    """Return what the page shows."""
    period = str(request.GET.get("period", ""))
    period = period if period in PERIODS else "hour"
    noise = count_noise(PERIODS[period][1])
    behind = count_behind()
    return {
        "title": "Noisy rules",
        "period": PERIODS[period][0],
        "periods": [(key, label, key == period) for key, (label, _) in PERIODS.items()],
        "noise_counted": f"{noise.counted:,}",
        "noise_since": marks.write_clock(noise.since) if noise.since else "",
        "noise_behind": f"{behind:,}" if behind > MANY_BEHIND else "",
        **show_rules(request, noise, f"?period={period}"),
    }


def show_noise_on_overview(request: HttpRequest) -> dict[str, Any]:
    """Return what the first page shows of it: the noisiest rules of the last hour."""
    if not (request.user.has_perm("eventsinks.view_event") and request.user.has_perm("eventsinks.view_silence")):
        return {}
    found = count_noise(PERIODS["hour"][1], most=COUNTED_ON_OVERVIEW, shown=ON_OVERVIEW)
    return {"has_noise": True, **show_rules(request, found, "overview")}


def show_rules(request: HttpRequest, noise: Noise, back: str) -> dict[str, Any]:
    """Return the rows of the rules, and what their buttons need. `back` is the query of the page to return to."""
    most = max((rule.count for rule in noise.rules), default=1)
    return {
        "noise_rows": [show_rule(rule, most) for rule in noise.rules],
        "noise_lengths": [(key, label) for key, (label, _) in LENGTHS.items()],
        "noise_back": back,
        "may_silence": request.user.has_perm("eventsinks.add_silence"),
    }


def show_rule(rule: NoisyRule, most: int) -> dict[str, Any]:
    """Return one row."""
    event = rule.newest
    silences = Silence.objects.of(event.tenant).in_force().filter(destination=None, filter=make_rule_filter(event))
    silence = silences.order_by("-ends_at").first()
    return {
        "event": event.pk,
        "name": marks.make_link("event", event.pk, marks.shorten(event.name, 90)),
        "label": marks.shorten(event.name, 60),
        "severity": make_severity_chip(event),
        "rule": event.rule,
        "tenant": event.tenant.name,
        "count": f"{rule.count:,}",
        "bar": draw_bar(rule.count / most),
        "last": marks.mark_moment(event.received_at),
        "alerts": find_alike(event),
        "silence": marks.make_link("silence", silence.pk, f"until {marks.write_clock(silence.ends_at)}")
        if silence
        else "",
    }


def find_alike(event: Event) -> str:
    """Return the URL of the list of events that shows the alerts of the same rule."""
    asked = {"rule": event.rule} if event.rule else {"q": event.name}
    query = urlencode({**asked, "tenant__id__exact": event.tenant_id})
    return f"{reverse('admin:eventsinks_event_changelist')}?{query}"


def draw_bar(share: float) -> SafeString:
    """Return a bar that is as long as its share of the longest. The number beside it says the same."""
    return format_html(
        '<svg class="es-strip" width="{}" height="8" aria-hidden="true"><rect width="{}" height="8" rx="2"'
        ' class="es-bar-noise"/></svg>',
        BAR,
        max(2, round(BAR * share)),
    )


def answer_noisy(page: ModelAdmin[Silence], request: HttpRequest) -> HttpResponse:
    """Answer a request for the page of noisy rules. A POST silences one and shows the page that it came from."""
    if not (page.has_view_permission(request) and request.user.has_perm("eventsinks.view_event")):
        raise PermissionDenied
    if request.method == "POST":
        silence_noisy(page, request)
        return redirect("admin:index" if request.POST.get("back") == "overview" else request.get_full_path())
    context = {**page.admin_site.each_context(request), "opts": page.opts, **show_noise(request)}
    return TemplateResponse(request, "admin/eventsinks/silence/noisy.html", context)


def silence_noisy(page: ModelAdmin[Silence], request: HttpRequest) -> None:
    """Silence the rule of the chosen alert for the chosen time, and tell the person."""
    if not page.has_add_permission(request):
        raise PermissionDenied
    id, length = str(request.POST.get("event", "")), LENGTHS.get(str(request.POST.get("length", "")))
    event = (
        Event.objects.select_related("tenant").filter(type="detection_alert", id=id).first()
        if id.isdecimal()
        else None
    )
    if event is None or length is None:
        page.message_user(request, "Nothing was done: this alert is not there any more.", messages.WARNING)
        return
    fill_columns([event])
    try:
        made = silence_rule(event, length[1], get_initiator(request))
    except (LimitReached, NotConfigurable) as error:
        page.message_user(request, f"Not silenced: {error}.", messages.ERROR)
        return
    page.log_addition(request, made, [{"added": {}}])
    until = marks.write_clock(made.ends_at)
    said = f"“{marks.shorten(event.name, 60)}” is silenced at all event sinks until {until}."
    page.message_user(request, said, messages.SUCCESS)
