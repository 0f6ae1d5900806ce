"""The page of an event sink: its status, its settings, its signing secret, and its test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from eventsinks.actions import configure
from eventsinks.actions.options import show_options
from eventsinks.actions.trying.try_out import try_out
from eventsinks.admin.parts import marks, previews
from eventsinks.admin.parts.backlog import BacklogForm
from eventsinks.admin.parts.base import get_initiator
from eventsinks.admin.parts.destination_page import DestinationPage, Fieldsets, tell_trouble
from eventsinks.admin.sinks.form import SinkForm, make_sink_form
from eventsinks.admin.sinks.health import find_last_drill, find_next_drill, measure_health
from eventsinks.admin.sinks.options import FALLBACK, FILTER, ORDER, PLAIN, QUIET
from eventsinks.admin.sinks.windows import list_windows
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Clearing, Event, EventSink, Tenant
from eventsinks.models.destination import DestinationState


@method_decorator(sensitive_post_parameters(), name="changeform_view")
class SinkPage(DestinationPage[EventSink]):
    """One event sink."""

    face = "event_sink"
    change_form_template = "admin/eventsinks/eventsink/change_form.html"
    readonly_fields: ClassVar[Any] = ("configuration", "options_shown")

    def form_of(self, tenant: Tenant, key: str, obj: EventSink | None, request: HttpRequest) -> type[SinkForm]:
        """Return the form of its type."""
        return make_sink_form(tenant, key, obj, get_initiator(request))

    def get_fieldsets(self, request: HttpRequest, obj: EventSink | None = None) -> Any:
        """Return the fields for its name, for its type, and for its options."""
        about = ["name", "description"]
        if obj and not self.has_change_permission(request, obj):
            return [(None, {"fields": [*about, "configuration", "options_shown"]})]
        sets: Fieldsets = [(None, {"fields": about}), self.config_set(request, obj)]
        if obj is None:
            sets.append(("Start", {"fields": ["enabled"]}))
        described = {
            "Filter": previews.make_button("filter", self.asked(request, obj)[0].pk, "See which alerts match")
        }
        if obj:
            described["Alert template"] = previews.make_button("template", obj.pk, "See what would be sent")
        return sets + [
            (title, {"fields": fields, "classes": ["tab"], "description": described.get(title, "")})
            for title, fields in OPTIONS
            if fields
        ]

    @admin.display(description="Options")
    def options_shown(self, sink: EventSink) -> SafeString:
        """Show the options to users who may only read."""
        said = [(name.replace("_", " "), value) for name, value in show_options(sink).items() if value]
        rows = [(name, json.dumps(value, default=str, ensure_ascii=False)) for name, value in said]
        return format_html_join("", "<div><b>{}</b>: {}</div>", rows)

    def standing(self, request: HttpRequest, sink: EventSink) -> dict[str, Any]:
        """Return the status of a sink, for its page."""
        health = measure_health(sink.pk)
        last = health.last_attempt
        return super().standing(request, sink) | {
            "next": tell_next_step(sink, health.waiting_text if health.waiting else "nothing"),
            "health": health,
            "waiting_since": marks.mark_moment(health.oldest),
            "strip": marks.draw_strip(health.recent),
            "last_attempt_at": marks.mark_moment(last.started_at if last else None),
            "last_drill": marks.mark_moment(find_last_drill(sink)),
            "next_drill": marks.mark_moment(find_next_drill(sink)),
            "windows": list_windows(sink),
        }

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs, including those of the previews."""
        return previews.make_urls(self.admin_site.admin_view) + super().get_urls()

    def buttons(self) -> dict[str, Callable[..., HttpResponse]]:
        """Return the views of the buttons."""
        return {**super().buttons(), "test": self.test_view}

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a sample or a chosen alert, and show the whole result."""
        sink = self.pressed(request, object_id)
        if isinstance(sink, HttpResponse):
            return sink
        key, alert = request.POST.get("alert", "").strip(), None
        if key:
            if not request.user.has_perm("eventsinks.view_event"):
                raise PermissionDenied
            alert = Event.objects.filter(tenant_id=sink.tenant_id, type="detection_alert", key=key).first()
            if alert is None:
                self.message_user(request, "There is no such alert of this tenant.", messages.ERROR)
                return self.back_to(sink)
        try:
            return self.tried(request, sink, try_out(sink, alert, get_initiator(request)), key)
        except LimitReached as reached:
            return self.limited(request, sink, reached)

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Resume it, and treat its backlog as the form says."""
        sink = self.pressed(request, object_id)
        if isinstance(sink, HttpResponse):
            return sink
        answer = BacklogForm(request.POST)
        if not answer.is_valid():
            self.message_user(request, f"Not resumed: {answer.problem()}", messages.ERROR)
            return self.back_to(sink)
        since, skip, initiator = answer.since(), answer.skip(), get_initiator(request)
        word = "Resumed, without what was kept:" if skip else "Resumed"
        word = f"Resumed, with what was kept since {marks.write_clock(since)}:" if since else word
        self.move(request, [sink], lambda found: configure.resume(found, initiator, since, skip=skip), word)
        return self.back_to(sink)


OPTIONS = (  # the tabs of a form
    ("Filter", ["event_types", *FILTER]),
    ("Alert template", ["alert_template"]),
    ("Quiet", list(QUIET)),
    ("Fallback", list(FALLBACK)),
    ("Fire drill", ["drill_interval_s"]),
    ("Rate limit", ["rate_limit_per_s"]),
    ("Order", list(ORDER)),
    ("More", PLAIN),
)


def tell_next_step(sink: EventSink, waiting: str) -> str:
    """Return a sentence on the status of a sink and what happens next."""
    since = marks.write_distance(sink.state_since)
    if sink.state == DestinationState.RESUMING:
        return f"It was resumed {since}, and is sent to as soon as {tell_clearing(sink)}. What comes in is kept."
    if sink.state == DestinationState.PAUSED:
        return f"A person paused it {since}. It keeps what it is owed: {waiting} by now."
    if sink.state == DestinationState.PARKED:
        repair = "change the settings below, or resume it once the far end is put right"
        return (
            f"It was disabled {since}: {sink.state_reason}. Nothing is sent until somebody repairs it: {repair}."
        )
    if sink.trouble:
        return tell_trouble(sink)
    if sink.held_until and marks.name_status(sink)[0] == "warning":
        until = marks.write_clock(sink.held_until)
        return f"The far end asked for a pause until {until}. Sending goes on by itself."
    return "Events are sent to it as they come in."


def tell_clearing(sink: EventSink) -> str:
    """Return what is being cleared, and the progress."""
    running = list(Clearing.objects.running().filter(destination_id=sink.pk))
    done = sum(clearing.suppressed for clearing in running)
    return f"what it skips is suppressed: {done:,} by now"
