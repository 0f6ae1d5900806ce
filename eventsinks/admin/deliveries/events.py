"""Events: what was accepted, and where it was sent."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from eventsinks.actions.expunge import expunge_event
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.alerts import NamedEvents, make_severity_chip, name_event, show_id
from eventsinks.admin.parts.base import InfinitePaginator, ModelAdmin, ReadOnly, get_initiator
from eventsinks.admin.parts.documents import cut_text, indent_json
from eventsinks.admin.parts.filters import EventTypeFilter
from eventsinks.admin.parts.search_filters import (
    FromFilter,
    RuleFilter,
    SeverityFilter,
    TagFilter,
    ToFilter,
    find_wanted,
    warn_if_behind,
)
from eventsinks.admin.silences.form import make_silence_link, may_silence
from eventsinks.models import Event
from eventsinks.models.event import fill_columns

EXPUNGE = "eventsinks.delete_event"  # the permission
DELIVERIES = 200  # deliveries that a page shows


class EventAdmin(ReadOnly, ModelAdmin[Event]):
    """Events."""

    list_display = ("alert", "severity_chip", "type", "tenant", "received", "id_to_copy")
    list_filter: ClassVar = [
        ("tenant", AutocompleteSelectFilter),
        EventTypeFilter,
        SeverityFilter,
        RuleFilter,
        TagFilter,
        FromFilter,
        ToFilter,
    ]
    list_filter_submit = True
    list_per_page = 50
    list_disable_select_all = True
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER  # they would have to be counted
    show_full_result_count = False
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("key",)  # get_search_results does not use it
    search_help_text = "Name, rule or tag; or an exact id"
    fields = ()
    change_form_template = "admin/eventsinks/event/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Return events with their tenants, without their data."""
        return super().get_queryset(request).select_related("tenant").defer("data", "digest")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        """Find alerts by words, severity, rule and tag; and every event by its exact id."""
        wanted = find_wanted(request.GET, search_term.strip(), "tenant__id__exact")
        if wanted is None:
            return queryset, False
        warn_if_behind(self, request)
        return queryset.filter(id__in=wanted), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamedEvents]:
        """Return the list."""
        return NamedEvents

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Event | None:
        """Return an event with its name."""
        event = super().get_object(request, object_id, from_field)
        fill_columns([event] if event else [])
        return event

    @admin.display(description="Event")
    def alert(self, event: Event) -> SafeString:
        """Its name and rule."""
        return name_event(event)

    @admin.display(description="Id")
    def id_to_copy(self, event: Event) -> SafeString:
        """Its id, as its sender wrote it."""
        return show_id(event.key, f"id-{event.pk}")

    @admin.display(description="Severity")
    def severity_chip(self, event: Event) -> SafeString | str:
        """Its severity."""
        return make_severity_chip(event) or "–"

    @admin.display(description="Received")
    def received(self, event: Event) -> SafeString | str:
        """When it was accepted."""
        return marks.mark_moment(event.received_at)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one event."""
        event = self.get_object(request, object_id)
        context = {**show_event(event), **(extra_context or {})} if event else extra_context
        if event and context and may_silence(request, event):
            context["silence_like"] = make_silence_link(event)
        if event and context:
            context["may_expunge"] = event.expunged_at is None and request.user.has_perm(EXPUNGE)
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page's button and the usual ones."""
        view = self.admin_site.admin_view(self.expunge_view)
        return [path("<path:object_id>/expunge/", view, name="eventsinks_event_expunge"), *super().get_urls()]

    def expunge_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take the data of an event away for good."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(EXPUNGE):
            raise PermissionDenied
        event = get_object_or_404(Event.objects.select_related("tenant"), pk=object_id)
        with transaction.atomic():
            if done := expunge_event(event, get_initiator(request)):
                self.log_change(request, event, "Expunged.")
        said = "Expunged: its data is gone." if done else "Nothing was done: it was expunged before."
        self.message_user(request, said, messages.SUCCESS if done else messages.WARNING)
        return redirect("admin:eventsinks_event_change", event.pk)


def show_event(event: Event) -> dict[str, Any]:
    """Return what the page of an event shows."""
    raw = bytes(event.data)
    owed = event.deliveries.select_related("destination__tenant").defer("destination__config").order_by("id")
    return {
        "title": marks.shorten(event.name, 90),
        "severity": make_severity_chip(event),
        "key": show_id(event.key, "event-id"),
        "subtitle": None,
        "event": event,
        "summary": event.summary,
        "tenant": marks.make_link("tenant", event.tenant_id, event.tenant.name),
        "occurred": marks.mark_moment(event.occurred_at),
        "received": marks.mark_moment(event.received_at),
        "size": len(raw),
        "expunged": marks.mark_moment(event.expunged_at) if event.expunged_at else "",
        "pretty": cut_text(indent_json(raw)),
        "raw": cut_text(raw.decode("utf-8", "replace")),
        "deliveries": [
            {
                "row": delivery,
                "chip": marks.make_delivery_chip(delivery.state),
                "sink": marks.link_sink(delivery.destination),
                "type": delivery.destination.kind.label,
                "link": marks.make_link("delivery", delivery.pk, "Attempts"),
            }
            for delivery in owed[:DELIVERIES]
        ],
    }
