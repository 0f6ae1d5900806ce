"""The filters of a search for alerts. They only ask: `find_wanted` answers all of them and the words together."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.severities import SEVERITY_NUMBERS
from eventsinks.models import Delivery, Destination, Event, Tenant
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import make_least_id
from eventsinks.models.search.find import Search, find_alerts, find_first_id
from eventsinks.models.search.progress import count_behind

if TYPE_CHECKING:
    INPUT_CLASSES: list[str] = []
    DropdownFilter = admin.SimpleListFilter
    TextFilter = admin.SimpleListFilter
else:
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter
    from unfold.widgets import INPUT_CLASSES

MANY_BEHIND = 1_000  # events; fewer are there with the next sweep
FOUND = 1_000  # alerts that a search finds at most, the newest
OFFERED = 200  # tenants that a filter offers
LOOKED_AT = 100_000  # newest deliveries that are searched for a reason or a status code
ANSWER = re.compile(r"([1-5])xx|([1-5]\d\d)", re.IGNORECASE)


class Asked:
    """A filter that keeps every row, because `find_wanted` answers it. It stands before its base."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep every row."""
        return queryset


class SeverityFilter(Asked, DropdownFilter):
    """Alerts of one severity."""

    title = "severity"
    parameter_name = "severity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the severities, the worst first."""
        return [(name, name) for name in sorted(SEVERITY_NUMBERS, key=lambda name: -SEVERITY_NUMBERS[name])]


class RuleFilter(Asked, TextFilter):
    """Alerts of one rule."""

    title = "rule (its id)"
    parameter_name = "rule"


class TagFilter(Asked, TextFilter):
    """Alerts with one tag."""

    title = "tag"
    parameter_name = "tag"


class AnswerFilter(Asked, TextFilter):
    """Deliveries by the status code of their last answer."""

    title = "answer (503 or 5xx)"
    parameter_name = "answer"


class ReasonFilter(Asked, TextFilter):
    """Deliveries with a text in their reason."""

    title = "reason"
    parameter_name = "reason"


class TenantFilter(DropdownFilter):
    """Deliveries of one tenant."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the tenants by name."""
        return [(str(one.pk), one.name) for one in Tenant.objects.order_by("name")[:OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the deliveries of its event sinks."""
        if not (chosen := self.value()):
            return queryset
        with suppress(ValueError):
            sinks = Destination.objects.filter(tenant_id=uuid.UUID(chosen))
            return queryset.filter(destination_id__in=list(sinks.values_list("id", flat=True)))
        return queryset.none()


class MomentForm(forms.Form):
    """A moment, to the minute."""

    def __init__(self, name: str, label: str, data: Any) -> None:
        super().__init__(data)
        shown = forms.DateTimeInput(attrs={"type": "datetime-local", "class": " ".join(INPUT_CLASSES)})
        self.fields[name] = forms.CharField(label=label, required=False, widget=shown)


class MomentFilter(TextFilter):
    """A bound of the time when an event was accepted. Ids are in order of time, so it is a bound of the id."""

    form_class = MomentForm
    bound = ""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the form."""
        name = str(self.parameter_name)
        yield {"form": MomentForm(name, str(self.title).capitalize(), {name: self.value()})}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows on one side of it."""
        if not self.value():
            return queryset
        if (moment := read_moment(self.value())) is None:
            return queryset.none()
        least = make_least_id(moment) if queryset.model is Delivery else find_first_id(moment)
        return queryset.filter(**{self.bound: least})


class FromFilter(MomentFilter):
    """What was accepted at a moment or later."""

    title = "from"
    parameter_name = "from"
    bound = "id__gte"


class ToFilter(MomentFilter):
    """What was accepted before a moment."""

    title = "to"
    parameter_name = "to"
    bound = "id__lt"


def read_moment(text: str | None) -> datetime | None:
    """Return a moment in the time zone of the pages, None if the text is none."""
    try:
        found = parse_datetime(text or "")
    except ValueError:
        return None
    return timezone.make_aware(found) if found and timezone.is_naive(found) else found


def find_wanted(given: QueryDict, term: str, tenant: str = "tenant") -> list[int] | None:
    """Return the events that the search box and the filters ask for, None if they ask for none.

    The box takes the exact id of an event, or words. `tenant` is the parameter that names a tenant.
    """
    exact = find_by_key(term) if term else []
    if exact:
        return exact
    search = read_search(given, term, given.get(tenant, ""))
    return find_alerts(search, FOUND) if search.is_needed else None


def find_by_key(key: str) -> list[int]:
    """Return the events with this id, through the unique index."""
    tenants = Tenant.objects.order_by()
    events = Event.objects.filter(tenant__in=tenants, type__in=list(EVENT_TYPES), key=clean_text(key))
    return list(events.values_list("id", flat=True)[:FOUND])


def read_search(given: QueryDict, words: str, tenant_id: str) -> Search:
    """Return the search that a list is asked for."""
    tenant = None
    with suppress(ValueError):
        tenant = uuid.UUID(tenant_id)
    return Search(
        tenant_id=tenant,
        words=words,
        severity=SEVERITY_NUMBERS.get(given.get("severity", "")),
        rule=given.get("rule", "").strip(),
        tag=given.get("tag", "").strip(),
        since=read_moment(given.get("from")),
        until=read_moment(given.get("to")),
    )


def keep_answers(deliveries: QuerySet[Delivery], answer: str, reason: str) -> QuerySet[Delivery]:
    """Keep the deliveries with a status code and a text in the reason, among the newest LOOKED_AT of these.

    No index has them, so the look is bounded: a time, a sink or a state brings it to older ones.
    """
    if not answer and not reason:
        return deliveries
    ids = deliveries.order_by("-id").values_list("id", flat=True)
    if beyond := ids[LOOKED_AT : LOOKED_AT + 1].first():
        deliveries = deliveries.filter(id__gt=beyond)
    if reason:
        deliveries = deliveries.filter(reason__icontains=clean_text(reason))
    if not answer:
        return deliveries
    if (found := ANSWER.fullmatch(answer)) is None:
        return deliveries.none()
    first = int(found[1] or 0) * 100
    return (
        deliveries.filter(status__range=(first, first + 99)) if first else deliveries.filter(status=int(found[2]))
    )


def warn_if_behind(page: Any, request: HttpRequest) -> None:
    """Tell the person if the search does not know the newest events."""
    if (behind := count_behind()) > MANY_BEHIND:
        said = f"The search has not come to the last {behind:,} events yet: what is new may be missing."
        page.message_user(request, said, messages.WARNING)
