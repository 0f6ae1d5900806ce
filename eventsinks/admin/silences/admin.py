"""Silences: making one after seeing what it would hold back, and ending one. Nobody deletes them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.views import ChangeList

from eventsinks.actions import silence as silences
from eventsinks.admin.parts import marks, previews
from eventsinks.admin.parts.base import ModelAdmin, Unchanged, get_initiator
from eventsinks.admin.parts.filters import InForceFilter
from eventsinks.admin.parts.type_picker import find_picked_tenant, make_picker
from eventsinks.admin.silences.form import make_silence_form, read_prefilled
from eventsinks.admin.silences.noise import answer_noisy
from eventsinks.models import QuietWindow, Silence
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.quiet_window import WindowKind


class Silences(ChangeList):  # type: ignore[misc]
    """The list. One query counts what all silences of a page have held back."""

    def get_results(self, request: HttpRequest) -> None:
        """Load the rows of a page."""
        super().get_results(request)
        held = count_held_by_each(list(self.result_list))
        for silence in self.result_list:
            silence.held_back = held.get(silence.pk.hex, 0)


def count_held_by_each(found: list[Silence]) -> dict[str, int]:
    """Return how many alerts each has held back, by its id in hexadecimal digits."""
    windows = QuietWindow.objects.filter(kind=WindowKind.SILENCE, key__in=[silence.pk.hex for silence in found])
    return dict(windows.order_by().values_list("key").annotate(Sum("held")))


class SilenceAdmin(Unchanged, ModelAdmin[Silence]):
    """Silences. Nobody changes one: end it, and make another. It stays, as the reason for what it held back."""

    list_display = ("reason_short", "status", "where", "what", "author", "starts", "ends", "held", "tenant")
    list_select_related = ("tenant", "destination")
    list_filter: ClassVar = [InForceFilter, ("tenant", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_per_page = 25
    list_fullwidth = True
    list_disable_select_all = True
    ordering = ("-created_at",)
    sortable_by = ()
    actions = ("end_chosen",)
    change_form_template = "admin/eventsinks/silence/change_form.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Silences]:
        """Return the list."""
        return Silences

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Whether this user may end silences."""
        return request.user.has_perm("eventsinks.change_silence")

    # --- The list

    @admin.display(description="Reason")
    def reason_short(self, silence: Silence) -> SafeString:
        """The reason."""
        return marks.clip_text(silence.reason)

    @admin.display(description="Status")
    def status(self, silence: Silence) -> SafeString:
        """Whether it holds alerts back now."""
        return format_html('<span class="es-nowrap">{}</span>', make_status_chip(silence))

    @admin.display(description="Where")
    def where(self, silence: Silence) -> SafeString | str:
        """The event sink, or all."""
        return show_where(silence)

    @admin.display(description="Filter")
    def what(self, silence: Silence) -> SafeString | str:
        """The filter, or every alert."""
        return marks.clip_text(silence.filter) if silence.filter else "every alert"

    @admin.display(description="From")
    def starts(self, silence: Silence) -> SafeString | str:
        """The moment when it starts."""
        return marks.mark_moment(silence.starts_at)

    @admin.display(description="To")
    def ends(self, silence: Silence) -> SafeString | str:
        """The moment when it ends."""
        return marks.mark_moment(silence.ends_at)

    @admin.display(description="Held back")
    def held(self, silence: Silence) -> str:
        """The number of alerts held back, counted once per event sink."""
        return f"{getattr(silence, 'held_back', 0):,}"

    # --- A new one

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the tenant, then for the other fields."""
        tenant = find_picked_tenant(request)
        if tenant is None:
            return self.pick_view(request)
        context = {"tenant": tenant, "show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, context | (extra_context or {}))

    def pick_view(self, request: HttpRequest) -> HttpResponse:
        """Show the first step."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = make_picker(request, self.admin_site)
        context = {
            **self.admin_site.each_context(request),
            "title": "Add silence",
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/eventsinks/pick.html", context)

    def get_form(
        self, request: HttpRequest, obj: Silence | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Silence]]:
        """Return the form of a new silence."""
        tenant = find_picked_tenant(request)
        if obj is None and tenant:
            kwargs["form"] = make_silence_form(tenant, get_initiator(request))
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Silence | None = None) -> Any:
        """Return the fields for reason, alerts and end, with a button that shows what it would have held back."""
        tenant = find_picked_tenant(request)
        if obj or tenant is None:
            return [(None, {"fields": ()})]
        look = previews.make_button(
            "filter", tenant.pk, "See what it would have held back", now=bool(request.GET.get("now"))
        )
        which = ["severity_at_least", "filter_tags", "filter_rules", "filter"]
        return [
            (None, {"fields": ["reason", "sink", "ends", "until"]}),
            ("Which alerts (empty: every alert)", {"fields": which, "description": look}),
        ]

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Return the first values of the form, from the URL."""
        return read_prefilled(request.GET)

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        """Do nothing, because the form has called `silence`."""

    # --- One silence

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one silence."""
        found = self.get_object(request, object_id)
        context = {**self.told(request, found), **(extra_context or {})} if found else extra_context
        return super().change_view(request, object_id, form_url, context)

    def told(self, request: HttpRequest, silence: Silence) -> dict[str, Any]:
        """Return what the page of a silence shows."""
        return {
            "title": f"Silence: {marks.shorten(silence.reason, 60)}",
            "subtitle": None,
            "silence": silence,
            "chip": make_status_chip(silence),
            "tone": "busy" if silence.ends_at > estimate_database_clock() else "quiet",
            "where": show_where(silence),
            "tenant": marks.make_link("tenant", silence.tenant_id, silence.tenant.name),
            "held": f"{silences.count_held(silence):,}",
            "starts": marks.write_clock(silence.starts_at),
            "ends": marks.write_clock(silence.ends_at),
            "may_end": self.has_end_permission(request) and silence.ends_at > estimate_database_clock(),
        }

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        end = self.admin_site.admin_view(self.end_view)
        return [
            path(
                "noisy/", self.admin_site.admin_view(partial(answer_noisy, self)), name="eventsinks_silence_noisy"
            ),
            path("<path:object_id>/end/", end, name="eventsinks_silence_end"),
            *super().get_urls(),
        ]

    def end_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End one silence now."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_end_permission(request):
            raise PermissionDenied
        found = get_object_or_404(self.get_queryset(request), pk=object_id)
        self.end(request, self.get_queryset(request).filter(pk=found.pk))
        return redirect("admin:eventsinks_silence_change", found.pk)

    @admin.action(description="End now", permissions=["end"])
    def end_chosen(self, request: HttpRequest, chosen: QuerySet[Silence]) -> None:
        """End the chosen ones."""
        self.end(request, chosen)

    def end(self, request: HttpRequest, chosen: QuerySet[Silence]) -> None:
        """End those that have not ended, and note it in their history."""
        ended = [found for found in chosen if silences.end_silence(found, get_initiator(request))]
        for found in ended:
            self.log_change(request, found, "Ended.")
        what = "1 silence" if len(ended) == 1 else f"{len(ended)} silences"
        self.message_user(request, f"Ended {what}.", messages.SUCCESS if ended else messages.WARNING)


def make_status_chip(silence: Silence) -> SafeString:
    """Return the chip that says whether a silence holds alerts back now."""
    now = estimate_database_clock()
    if silence.ends_at <= now:
        return marks.make_chip("quiet", "Ended")
    return (
        marks.make_chip("busy", "In force") if silence.starts_at <= now else marks.make_chip("warning", "To come")
    )


def show_where(silence: Silence) -> SafeString | str:
    """Return the sink at which a silence holds back."""
    return marks.link_sink(silence.destination) if silence.destination else "all event sinks"
