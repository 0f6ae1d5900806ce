"""Integrations: their progress, a form for each type, and what an operator can do with a stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from eventsinks.actions.replaying.replay_stream import StreamReplayUnderWay, replay_stream, stop_replay
from eventsinks.admin.integrations.form import IntegrationForm, make_integration_form
from eventsinks.admin.integrations.health import (
    IntegrationHealth,
    ReplayProgress,
    list_batches,
    measure_health,
    probe_now,
)
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import get_initiator
from eventsinks.admin.parts.destination_page import DestinationPage, Fieldsets, tell_trouble
from eventsinks.admin.parts.filters import IntegrationTypeFilter, StatusFilter
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Integration, Tenant
from eventsinks.models.destination import DestinationState


class SinceForm(forms.Form):
    """The moment from which everything is sent again."""

    moment = forms.DateTimeField(input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@method_decorator(sensitive_post_parameters(), name="changeform_view")
class IntegrationAdmin(DestinationPage[Integration]):
    """Integrations."""

    face = "integration"
    change_form_template = "admin/eventsinks/integration/change_form.html"
    list_display = ("name", "goes_to", "tenant", "status", "waiting", "last_sent", "next_try")
    list_filter: ClassVar = [
        IntegrationTypeFilter,
        StatusFilter,
        ("tenant", AutocompleteSelectFilter),
    ]

    # --- The list

    @admin.display(description="Goes to")
    def goes_to(self, integration: Integration) -> SafeString:
        """The host or the bucket, and the type."""
        return marks.show_target(integration)

    @admin.display(description="Status")
    def status(self, integration: Integration) -> SafeString:
        """Whether it receives events, and if not, why."""
        return marks.show_status(integration)

    @admin.display(description="Waiting")
    def waiting(self, integration: Integration) -> str:
        """The number of events that it was not sent yet."""
        return self.health(integration).waiting_text

    @admin.display(description="Last sent")
    def last_sent(self, integration: Integration) -> SafeString | str:
        """The moment when the far end last took a batch."""
        return marks.mark_moment(self.health(integration).sent_at)

    @admin.display(description="Next try")
    def next_try(self, integration: Integration) -> SafeString | str:
        """The moment of the next try of a batch that failed, and why it failed."""
        health = self.health(integration)
        moment = marks.mark_moment(health.next_try)
        if not health.failing:
            return moment
        return format_html('{} <span class="es-subtle">{}</span>', moment, marks.clip_text(health.failing))

    def health(self, integration: Integration) -> IntegrationHealth:
        """Measure an integration once per page."""
        found: IntegrationHealth | None = getattr(integration, "_health", None)
        if found is None:
            found = measure_health(integration)
            integration._health = found  # type: ignore[attr-defined]
        return found

    # --- The form

    def form_of(
        self, tenant: Tenant, key: str, obj: Integration | None, request: HttpRequest
    ) -> type[IntegrationForm]:
        """Return the form of its type."""
        return make_integration_form(tenant, key, obj, get_initiator(request))

    def get_fieldsets(self, request: HttpRequest, obj: Integration | None = None) -> Any:
        """Return the fields for its name, for its type, and for what it receives."""
        about = ["name", "description"]
        if obj and not self.has_change_permission(request, obj):
            return [(None, {"fields": [*about, "configuration"]})]
        sets: Fieldsets = [(None, {"fields": about}), self.config_set(request, obj)]
        sets.append(("What it is sent", {"fields": ["event_types", "filter", "mapping"]}))
        return sets if obj else [*sets, ("Start", {"fields": ["start", "hours", "enabled"]})]

    def standing(self, request: HttpRequest, integration: Integration) -> dict[str, Any]:
        """Return the status of an integration, for its page."""
        health = self.health(integration)
        return super().standing(request, integration) | {
            "next": tell_next_step(integration, health),
            "health": health,
            "sent_events": f"{health.sent_events:,}",
            "sent_at": marks.mark_moment(health.sent_at),
            "next_try": marks.mark_moment(health.next_try),
            "batches": list_batches(integration),
            "replay": health.replay and tell_replay_step(health.replay),
        }

    # --- What can be done with it

    def buttons(self) -> dict[str, Callable[..., HttpResponse]]:
        """Return the views of the buttons."""
        own = {"test": self.test_view, "replay": self.replay_view, "stop-replay": self.stop_replay_view}
        return {**super().buttons(), **own}

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a test message, and show the result."""
        found = self.pressed(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        try:
            return self.tried(request, found, probe_now(found, get_initiator(request)))
        except LimitReached as reached:
            return self.limited(request, found, reached)

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send again everything received since a moment."""
        found = self.pressed(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        form = SinceForm(request.POST)
        if not form.is_valid():
            self.message_user(request, "Nothing was done: say since when.", messages.ERROR)
            return self.back_to(found)
        since: datetime = form.cleaned_data["moment"]
        try:
            again = replay_stream(found, since, initiator=get_initiator(request))
        except LimitReached as reached:
            return self.limited(request, found, reached)
        except StreamReplayUnderWay:
            self.message_user(request, "Nothing was done: another replay is under way.", messages.WARNING)
            return self.back_to(found)
        if again:
            self.log_change(request, found, f"Replayed since {since.isoformat()}.")
            self.message_user(
                request, f"Sends again what came since {marks.write_clock(since)}.", messages.SUCCESS
            )
        else:
            said = "Nothing was done: nothing that came since then was sent yet. It comes anyway."
            self.message_user(request, said, messages.WARNING)
        return self.back_to(found)

    def stop_replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Stop the replay."""
        found = self.pressed(request, object_id)
        if isinstance(found, HttpResponse):
            return found
        if stop_replay(found, get_initiator(request)):
            self.log_change(request, found, "Stopped the replay.")
            self.message_user(request, "Stopped: what was sent again by now stays sent.", messages.SUCCESS)
        else:
            self.message_user(request, "Nothing was done: no replay was under way.", messages.WARNING)
        return self.back_to(found)


def tell_replay_step(replay: ReplayProgress) -> str:
    """Return a sentence on the progress of a replay."""
    until = f" What came until {marks.write_clock(replay.until)} is sent again." if replay.until else ""
    done = (
        f"sent until {marks.write_clock(replay.sent_until)} by now" if replay.sent_until else "nothing sent by now"
    )
    return f"A replay is under way, {done}.{until}"


def tell_next_step(integration: Integration, health: IntegrationHealth) -> str:
    """Return a sentence on the status of an integration and what happens next."""
    since = marks.write_distance(integration.state_since)
    if integration.state == DestinationState.PAUSED:
        return f"A person paused it {since}. It keeps its place: {health.waiting_text} events wait by now."
    if integration.state == DestinationState.PARKED:
        said = f"It was disabled {since}: {integration.state_reason}. Nothing is sent until somebody repairs it: "
        return f"{said}change the settings below, or resume it once the far end is put right."
    if integration.trouble:
        return f"{tell_trouble(integration)} It keeps its place: {health.waiting_text} events wait by now."
    if health.failing:
        at = f", {marks.write_distance(health.next_try)}" if health.next_try else ""
        said = f"A batch was not taken: {health.failing}. It is tried again by itself{at}"
        return f"{said} (tries so far: {health.tries})."
    return "Events are streamed to it in batches, in order."
