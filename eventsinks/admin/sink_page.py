"""The page of one event sink: how it stands, its settings, its signing secret, and taking it away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from eventsinks.actions import configure
from eventsinks.admin import marks
from eventsinks.admin.base import ModelAdmin
from eventsinks.admin.forms import PREFIX, fields_of
from eventsinks.admin.sink_form import sink_form
from eventsinks.admin.sink_health import health_of
from eventsinks.admin.type_picker import picked, picker
from eventsinks.destinations import destination_type
from eventsinks.lib.crypto import CannotOpen
from eventsinks.models import Destination, EventSink
from eventsinks.models.destination import DestinationState

REVEAL = "eventsinks.reveal_signing_secret"  # the permission to read a signing secret
FEWER_BUTTONS = {"show_save_and_add_another": False}  # another one begins with its tenant and type
Move = Callable[[Destination], Destination]
Fieldsets = list[tuple[str | None, dict[str, Any]]]


def pause(sink: Destination) -> Destination:
    """Pause a sink in the name of those who look after the system."""
    return configure.pause(sink, "by an operator")


@method_decorator(sensitive_post_parameters(), name="changeform_view")
class SinkPage(ModelAdmin[EventSink]):
    """One event sink."""

    change_form_template = "admin/eventsinks/eventsink/change_form.html"
    readonly_fields = ("configuration",)

    # --- The form

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for tenant and type, then for the rest."""
        found = picked(request)
        if found is None:
            return self.pick_view(request)
        tenant, key = found
        context = {"tenant": tenant, "type_label": destination_type(key).label, **FEWER_BUTTONS}
        context |= extra_context or {}
        return super().add_view(request, form_url, context)

    def pick_view(self, request: HttpRequest) -> HttpResponse:
        """Show the first step."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = picker(request, self.admin_site)
        context = {
            **self.admin_site.each_context(request),
            "title": "Add event sink",
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/eventsinks/eventsink/pick_type.html", context)

    def get_form(
        self, request: HttpRequest, obj: EventSink | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[EventSink]]:
        """Return the form of the sink's type."""
        found = (obj.tenant, obj.type) if obj else picked(request)
        if found is None:
            raise PermissionDenied
        kwargs["form"] = sink_form(*found, obj)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: EventSink | None = None) -> Any:
        """Return what it is called, then what its type asks for."""
        about = ["name", "description"]
        if obj and not self.has_change_permission(request, obj):
            return [(None, {"fields": [*about, "configuration"]})]
        found = (obj.tenant, obj.type) if obj else picked(request)
        if found is None:
            raise PermissionDenied
        kind = destination_type(found[1])
        asked = list(fields_of(kind.Config, {}))
        sets: Fieldsets = [(None, {"fields": about}), (kind.label, {"fields": asked})]
        return sets if obj else [*sets, ("Start", {"fields": ["enabled"]})]

    @admin.display(description="Configuration")
    def configuration(self, sink: EventSink) -> SafeString:
        """Show the configuration, secrets masked, to those who may only look."""
        fields = fields_of(sink.kind.Config, sink.config)
        rows = [(field.label, sink.config.get(name.removeprefix(PREFIX), "–")) for name, field in fields.items()]
        return format_html_join("", "<div><b>{}</b>: {}</div>", rows)

    def save_model(self, request: HttpRequest, obj: EventSink, form: Any, change: bool) -> None:
        """Do nothing: the form has called `configure`."""

    # --- How it stands

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one sink."""
        sink = self.get_object(request, object_id)
        context = {**self.standing(request, sink), **(extra_context or {})} if sink else extra_context
        return super().change_view(request, object_id, form_url, context)

    def standing(self, request: HttpRequest, sink: EventSink) -> dict[str, Any]:
        """Return how a sink stands, for its page."""
        health = health_of(sink.pk)
        last = health.last_attempt
        tone, status = marks.sink_status(sink)
        return {
            "sink": sink,
            "type_label": sink.kind.label,
            "tenant": sink.tenant,
            "tone": tone,
            "status": marks.chip(tone, marks.short(status, 60), status),
            "next": next_step(sink, health.waiting_text if health.waiting else "nothing"),
            "health": health,
            "waiting_since": marks.moment_mark(health.oldest),
            "strip": marks.strip(health.recent),
            "last_attempt_at": marks.moment_mark(last.started_at if last else None),
            "may_change": self.has_change_permission(request, sink),
            "may_reveal": request.user.has_perm(REVEAL) and bool(sink.sealed_signing_secret),
            "is_active": sink.state == DestinationState.ACTIVE,
            "subtitle": None,
            **FEWER_BUTTONS,
        }

    # --- What can be done with it

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the buttons beside the usual ones."""
        buttons = (
            ("pause", self.pause_view),
            ("resume", self.resume_view),
            ("signing-secret", self.secret_view),
        )
        own = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"eventsinks_eventsink_{name.replace('-', '_')}",
            )
            for name, view in buttons
        ]
        return own + super().get_urls()

    def pause_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Pause it."""
        return self.button(request, object_id, pause, "Paused")

    def resume_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Resume it, with its backlog."""
        return self.button(request, object_id, configure.resume, "Resumed")

    def button(self, request: HttpRequest, object_id: str, action: Move, word: str) -> HttpResponse:
        """Answer the press of a button on a sink's page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        sink = get_object_or_404(self.get_queryset(request), pk=object_id)
        if not self.has_change_permission(request, sink):
            raise PermissionDenied
        self.move(request, [sink], action, word)
        return redirect("admin:eventsinks_eventsink_change", sink.pk)

    def move(
        self,
        request: HttpRequest,
        sinks: Iterable[EventSink],
        action: Move,
        word: str,
    ) -> None:
        """Do one thing with each of `sinks`; note it in their history."""
        moved = 0
        for sink in sinks:
            action(sink)
            self.log_change(request, sink, f"{word}.")
            moved += 1
        what = "1 event sink" if moved == 1 else f"{moved} event sinks"
        self.message_user(request, f"{word} {what}.", messages.SUCCESS)

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the signing secret once, to those who may; note in the history that it was shown."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(REVEAL):
            raise PermissionDenied
        sink = get_object_or_404(self.get_queryset(request), pk=object_id)
        try:
            secret = sink.signing_secret
        except CannotOpen as error:
            self.message_user(request, f"The signing secret can't be opened: {error}", messages.ERROR)
            return redirect("admin:eventsinks_eventsink_change", sink.pk)
        self.log_change(request, sink, "Signing secret shown.")
        context = {
            **self.admin_site.each_context(request),
            "title": "Signing secret",
            "opts": self.opts,
            "sink": sink,
            "secret": secret,
        }
        return TemplateResponse(request, "admin/eventsinks/eventsink/signing_secret.html", context)

    def delete_model(self, request: HttpRequest, obj: EventSink) -> None:
        """Take one sink away."""
        configure.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EventSink]) -> None:
        """Take the chosen ones away."""
        for sink in queryset:
            configure.delete(sink)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Say what goes: the sinks alone. What they were still owed is suppressed, their history stays."""
        named = [f"{sink.name} ({sink.tenant.name}): what it is still owed is suppressed" for sink in objs]
        return named, {"event sinks": len(named)}, set(), []


def next_step(sink: EventSink, waiting: str) -> str:
    """Say in a sentence how a sink stands and what happens next."""
    since = marks.when(sink.state_since)
    if sink.state == DestinationState.PAUSED:
        return f"A person paused it {since}. It keeps what it is owed: {waiting} by now."
    if sink.state == DestinationState.PARKED:
        repair = "change the settings below, or resume it once the far end is put right"
        return f"It was parked {since}: {sink.state_reason}. Nothing is sent until somebody repairs it: {repair}."
    if sink.held_until and marks.sink_status(sink)[0] == "warning":
        until = marks.clock(sink.held_until)
        return f"The far end asked for a pause until {until}. Sending goes on by itself."
    return "Events are sent to it as they come in."
