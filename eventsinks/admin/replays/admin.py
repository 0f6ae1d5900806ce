"""Replays: starting some after seeing what they would send, watching them, and cancelling one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay_job import ReplayUnderWay
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.base import InfinitePaginator, ModelAdmin, Unchanged, get_initiator
from eventsinks.admin.replays.form import ReplayForm, make_first_values
from eventsinks.admin.replays.show import (
    TONES,
    count_deliveries,
    count_things,
    describe_conditions,
    draw_progress,
    make_replay_chip,
)
from eventsinks.limits.quotas import LimitReached
from eventsinks.models import Destination, Replay, Tenant
from eventsinks.models.replay import ReplayState

MOST_TOLD = 10_000  # replayed deliveries of which the page says what came of them
REFRESH = 3  # seconds until the page of a running replay shows itself again


class ReplayAdmin(Unchanged, ModelAdmin[Replay]):
    """Replays, running and past ones. Nobody changes one: cancel it, and start another. It stays as a record."""

    list_display = ("where", "status", "progress", "stretch", "which", "by", "started", "tenant")
    list_select_related = ("tenant", "destination__tenant")
    list_filter: ClassVar = [("state", ChoicesDropdownFilter), ("tenant", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 25
    list_display_links = ("status",)
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    ordering = ("-id",)
    sortable_by = ()
    actions = None
    fields = ()
    change_form_template = "admin/eventsinks/replay/change_form.html"

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this user may cancel replays."""
        return request.user.has_perm("eventsinks.change_replay")

    # --- The list

    @admin.display(description="Where")
    def where(self, replay: Replay) -> SafeString | str:
        """The event sink or integration."""
        return marks.link_sink(replay.destination)

    @admin.display(description="Status")
    def status(self, replay: Replay) -> SafeString:
        """Whether it runs."""
        return make_replay_chip(replay)

    @admin.display(description="Progress")
    def progress(self, replay: Replay) -> SafeString:
        """How much of it is done."""
        return draw_progress(replay)

    @admin.display(description="Deliveries of")
    def stretch(self, replay: Replay) -> str:
        """The stretch of time."""
        return f"{marks.write_clock(replay.since)} – {marks.write_clock(replay.until)}"

    @admin.display(description="Which")
    def which(self, replay: Replay) -> SafeString:
        """The other conditions."""
        return marks.clip_text(describe_conditions(replay))

    @admin.display(description="By")
    def by(self, replay: Replay) -> str:
        """Who asked for it."""
        return replay.asked_by or "–"

    @admin.display(description="Started")
    def started(self, replay: Replay) -> SafeString | str:
        """The moment when it was started."""
        return marks.mark_moment(replay.created_at)

    # --- New ones

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask what to send again; show how many that are; start when these very ones are confirmed."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self.ask(request, ReplayForm(initial=make_first_values(request.GET)))
        form = ReplayForm(request.POST)
        if not form.is_valid():
            return self.ask(request, form)
        if "start" in request.POST and request.POST.get("counted") == form.fingerprint():
            return self.start(request, form)
        try:
            return self.ask(request, form, count_deliveries(form))
        except NotConfigurable as error:
            add_errors(form, error)
            return self.ask(request, form)

    def ask(self, request: HttpRequest, form: ReplayForm, counted: dict[str, Any] | None = None) -> HttpResponse:
        """Show the form, and below it what it would send."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Replay",
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
            "counted": counted,
        }
        return TemplateResponse(request, "admin/eventsinks/replay/add.html", context)

    def start(self, request: HttpRequest, form: ReplayForm) -> HttpResponse:
        """Start the replays, those of each tenant together or not at all, and say what was started."""
        by_tenant: defaultdict[Tenant, list[Destination]] = defaultdict(list)
        for destination in form.destinations():
            by_tenant[destination.tenant].append(destination)
        started: list[Replay] = []
        for tenant, destinations in by_tenant.items():
            try:
                found = replay_job.start_replays(
                    destinations, form.selection(), form.rate_per_s, get_initiator(request)
                )
            except (NotConfigurable, ReplayUnderWay, LimitReached) as error:
                self.message_user(request, f"{tenant.name}: {describe_refusal(error)}", messages.ERROR)
                continue
            started += found
        for replay in started:
            self.log_addition(request, replay, f"Started a replay of {replay.counted:,} deliveries.")
        if not started:
            return self.ask(request, form)
        self.message_user(request, f"Started {count_things(len(started), 'replay')}.", messages.SUCCESS)
        if len(started) == 1:
            return redirect("admin:eventsinks_replay_change", started[0].pk)
        return redirect("admin:eventsinks_replay_changelist")

    # --- One replay

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one replay; while it runs, the browser asks again."""
        found = self.get_object(request, object_id)
        context = {**self.told(request, found), **(extra_context or {})} if found else extra_context
        answer = super().change_view(request, object_id, form_url, context)
        if found and found.state == ReplayState.RUNNING:
            answer["Refresh"] = str(REFRESH)
        return answer

    def told(self, request: HttpRequest, replay: Replay) -> dict[str, Any]:
        """Return what the page of a replay shows."""
        return {
            "title": f"Replay to {replay.destination.name}",
            "subtitle": None,
            "replay": replay,
            "chip": make_replay_chip(replay),
            "tone": TONES[replay.state],
            "progress": draw_progress(replay),
            "where": marks.link_sink(replay.destination),
            "tenant": marks.make_link("tenant", replay.tenant_id, replay.tenant.name),
            "since": marks.write_clock(replay.since),
            "until": marks.write_clock(replay.until),
            "which": describe_conditions(replay),
            "started": marks.mark_moment(replay.created_at),
            "ended": marks.mark_moment(replay.ended_at),
            "outcome": replay.outcome(MOST_TOLD),
            "may_cancel": replay.state == ReplayState.RUNNING and self.has_cancel_permission(request),
        }

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        cancel = self.admin_site.admin_view(self.cancel_view)
        return [path("<path:object_id>/cancel/", cancel, name="eventsinks_replay_cancel"), *super().get_urls()]

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Cancel a replay."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        found = get_object_or_404(self.get_queryset(request), pk=object_id)
        if replay_job.cancel_replay(found, get_initiator(request)):
            self.log_change(request, found, "Cancelled.")
            self.message_user(request, "Cancelled. What was sent again by now stays so.", messages.SUCCESS)
        else:
            self.message_user(request, "Nothing was done: it had ended already.", messages.WARNING)
        return redirect("admin:eventsinks_replay_change", found.pk)


def add_errors(form: ReplayForm, error: NotConfigurable) -> None:
    """Show the errors at their fields."""
    for found in error.errors:
        form.add_error(found.field if found.field in form.fields else None, found.message)


def describe_refusal(error: NotConfigurable | ReplayUnderWay | LimitReached) -> str:
    """Return why replays of a tenant could not start."""
    if isinstance(error, ReplayUnderWay):
        return f"another replay of {error.destination.name} is under way; cancel it, or wait for its end."
    return f"nothing was started: {error}."
