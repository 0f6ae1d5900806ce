"""Deliveries: why an alert did not arrive, and how to send it again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.skip import skip_deliveries
from eventsinks.admin.deliveries.columns import DeliveryColumns
from eventsinks.admin.deliveries.outcome import tell_story
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.alerts import NamedEvents, make_severity_chip, show_id
from eventsinks.admin.parts.attempts.timeline import draw_attempt
from eventsinks.admin.parts.base import InfinitePaginator, ModelAdmin, ReadOnly, get_initiator
from eventsinks.admin.parts.filters import SinceFilter, SinkFilter
from eventsinks.admin.parts.search_filters import (
    AnswerFilter,
    FromFilter,
    ReasonFilter,
    RuleFilter,
    SeverityFilter,
    TagFilter,
    TenantFilter,
    ToFilter,
    find_wanted,
    keep_answers,
    warn_if_behind,
)
from eventsinks.admin.silences.form import make_silence_link, may_silence
from eventsinks.intake.nudge import nudge
from eventsinks.models import Attempt, Delivery
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import DeliveryState
from eventsinks.models.event import fill_columns

FOUND = 1000  # deliveries that a search for one event finds at most, and that one replay takes at most
ATTEMPTS = 100  # newest attempts that a page shows


class DeliveryAdmin(ReadOnly, DeliveryColumns, ModelAdmin[Delivery]):
    """Deliveries. Nobody changes them by hand: `Delivery.objects` has the moves."""

    list_display = (
        "alert",
        "severity_chip",
        "status_chip",
        "sink",
        "tenant",
        "tries_made",
        "due",
        "answer",
        "why",
        "id_to_copy",
    )
    list_filter: ClassVar = [
        ("state", ChoicesDropdownFilter),
        TenantFilter,
        SinkFilter,
        SeverityFilter,
        RuleFilter,
        TagFilter,
        AnswerFilter,
        ReasonFilter,
        SinceFilter,
        FromFilter,
        ToFilter,
    ]
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    list_disable_select_all = True
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER  # they would have to be counted
    show_full_result_count = False
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("event__key",)  # get_search_results does not use it
    search_help_text = "Name, rule or tag; or an exact id"
    actions = ("replay",)
    fields = ()
    change_form_template = "admin/eventsinks/delivery/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Return deliveries with the names of what they belong to, without the data of their events."""
        related = super().get_queryset(request).select_related("event", "destination__tenant")
        return related.defer("event__data", "event__digest", "destination__config", "destination__sealed_secrets")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Find by a delivery's id, by what is asked of its alert, by its answer and its reason."""
        term = search_term.strip()
        with suppress(ValueError):  # it is not a delivery's id
            if (found := queryset.filter(id=uuid.UUID(term))).exists():
                return found, False
        wanted = find_wanted(request.GET, term)
        if wanted is not None:
            warn_if_behind(self, request)
            of_events = Delivery.objects.filter(event_id__in=wanted).order_by("-id").values_list("id", flat=True)
            queryset = queryset.filter(id__in=list(of_events[:FOUND]))
        answer, reason = (request.GET.get(name, "").strip() for name in ("answer", "reason"))
        return keep_answers(queryset, answer, reason), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamedEvents]:
        """Return the list."""
        return NamedEvents

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Delivery | None:
        """Return a delivery with the name of its event."""
        delivery = super().get_object(request, object_id, from_field)
        fill_columns([delivery.event] if delivery else [])
        return delivery

    # --- One delivery

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the story of one delivery."""
        delivery = self.get_object(request, object_id)
        context = {**self.told(request, delivery), **(extra_context or {})} if delivery else extra_context
        return super().change_view(request, object_id, form_url, context)

    def told(self, request: HttpRequest, delivery: Delivery) -> dict[str, Any]:
        """Return what the page of a delivery shows."""
        newest = list(Attempt.objects.filter(delivery_id=delivery.pk).order_by("-id")[:ATTEMPTS])
        may = self.has_replay_permission(request) and delivery.destination.deleted_at is None
        pending = delivery.state == DeliveryState.PENDING
        waits = pending and not delivery.is_behind and delivery.due_at > estimate_database_clock()
        return {
            "title": f"{marks.shorten(delivery.event.name, 90)} → {delivery.destination.name}",
            "severity": make_severity_chip(delivery.event),
            "key": show_id(delivery.event.key, "event-id"),
            "webhook_id": show_id(delivery.pk, "delivery-id"),
            "received": marks.mark_moment(delivery.event.received_at),
            "subtitle": None,
            "delivery": delivery,
            "chip": marks.make_delivery_chip(delivery.state),
            "type_label": delivery.destination.kind.label,
            "story": tell_story(delivery, newest[0] if newest else None),
            "rows": [draw_attempt(attempt) for attempt in newest],
            "sink": marks.link_sink(delivery.destination),
            "event": marks.make_link("event", delivery.event_id, delivery.event.name),
            "silence_like": make_silence_link(delivery.event) if may_silence(request, delivery.event) else "",
            "may_replay": may and delivery.state == DeliveryState.FAILED,
            "may_send_again": may and delivery.state == DeliveryState.DELIVERED,
            "may_try_now": may and waits,
            "may_skip": may and delivery.state in (DeliveryState.PENDING, DeliveryState.FAILED),
        }

    # --- Trying again

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whether this user may send things again."""
        return request.user.has_perm("eventsinks.change_delivery")

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the page's buttons and the usual ones."""
        replay, now, skip = map(self.admin_site.admin_view, (self.replay_view, self.try_now_view, self.skip_view))
        return [
            path("<path:object_id>/replay/", replay, name="eventsinks_delivery_replay"),
            path("<path:object_id>/try-now/", now, name="eventsinks_delivery_try_now"),
            path("<path:object_id>/skip/", skip, name="eventsinks_delivery_skip"),
            *super().get_urls(),
        ]

    @admin.action(description="Replay those that failed", permissions=["replay"])
    def replay(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> None:
        """Give the failed ones among the chosen a fresh set of tries. Leave the others unchanged."""
        failed = list(deliveries.filter(state=DeliveryState.FAILED, destination__deleted_at=None)[: FOUND + 1])
        failed, more = failed[:FOUND], len(failed) > FOUND
        with transaction.atomic():
            ids = [delivery.pk for delivery in failed]
            chosen = Delivery.objects.filter(id__in=ids, state=DeliveryState.FAILED)
            moved = replay(chosen, get_initiator(request))
            if failed:
                LogEntry.objects.log_actions(request.user.pk or 0, failed, CHANGE, change_message="Replayed.")
        what = "1 delivery" if moved == 1 else f"{moved} deliveries"
        said = f"Replayed {what}." if moved else "Nothing was done: none of them failed for a sink that is there."
        said += " There are more: do it again for the rest." if more else ""
        self.message_user(request, said, messages.SUCCESS if moved else messages.WARNING)

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give one ended delivery a fresh set of tries."""
        initiator = get_initiator(request)
        return self.button(request, object_id, lambda chosen: replay(chosen, initiator), "Replayed")

    def try_now_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make the next try of one delivery due now."""
        initiator = get_initiator(request)
        return self.button(request, object_id, lambda chosen: replay(chosen, initiator), "Brought forward")

    def skip_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Skip one delivery, so that the ones behind it are sent."""
        initiator = get_initiator(request)
        return self.button(request, object_id, lambda chosen: skip_deliveries(chosen, initiator), "Skipped", "")

    def button(
        self,
        request: HttpRequest,
        object_id: str,
        move: Callable[[Any], int],
        word: str,
        after: str = " A worker takes it within moments.",
    ) -> HttpResponse:
        """Answer the press of a button on a delivery's page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_replay_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(self.get_queryset(request), pk=object_id)
        with transaction.atomic():
            moved = move(Delivery.objects.filter(pk=delivery.pk, destination__deleted_at=None))
            if moved:
                self.log_change(request, delivery, f"{word}.")
            nudge()
        if moved:
            self.message_user(request, f"{word}.{after}", messages.SUCCESS)
        else:
            self.message_user(request, "Nothing was done: it had moved on meanwhile.", messages.WARNING)
        return redirect("admin:eventsinks_delivery_change", delivery.pk)
