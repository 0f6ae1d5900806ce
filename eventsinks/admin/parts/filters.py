"""The filters of the lists: an index or a small table can answer each."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from eventsinks.actions.status import LABELS, DestinationStatus, status_condition
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.event_types import EVENT_TYPES
from eventsinks.models import Destination, Event, Silence
from eventsinks.models.database.clock import read_database_clock

if TYPE_CHECKING:
    DropdownFilter = admin.SimpleListFilter
else:
    from unfold.contrib.filters.admin import DropdownFilter

OFFERED = 200  # sinks that a filter offers; other sinks link to it from their own page
PERIODS = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}


class TypeFilter(DropdownFilter):
    """The destination types of one face."""

    face: str
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the types."""
        return [(key, kind.label) for key, kind in DESTINATION_TYPES.items() if kind.face == self.face]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep one type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class SinkTypeFilter(TypeFilter):
    """The destination types that are event sinks."""

    face = "event_sink"


class IntegrationTypeFilter(TypeFilter):
    """The destination types that are integrations."""

    face = "integration"


class StatusFilter(DropdownFilter):
    """The status of a destination. The table is small: an answer reads all its rows once."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the statuses, the worst first."""
        return [(str(status), LABELS[status]) for status in DestinationStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep one status."""
        found = [status for status in DestinationStatus if status == self.value()]
        return queryset.filter(status_condition(found[0])) if found else queryset


class SinkFilter(DropdownFilter):
    """One event sink, by its integer id. The index on sink and id answers it."""

    title = "event sink"
    parameter_name = "sink"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the sinks by name, and the one that is chosen already."""
        sinks = Destination.objects.sinks().present().select_related("tenant").order_by("name", "id")
        offered = list(sinks[:OFFERED])
        chosen = request.GET.get("sink", "")
        if chosen.isdecimal() and int(chosen) not in {sink.pk for sink in offered}:
            offered += Destination.objects.select_related("tenant").filter(pk=int(chosen))
        return [(str(sink.pk), f"{sink.name} · {sink.tenant.name}") for sink in offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of one sink."""
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(destination_id=int(value)) if value.isdecimal() else queryset.none()


class SinceFilter(DropdownFilter):
    """A period until now. Ids of deliveries are in order of time, so this is a range of the primary key."""

    title = "period"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer some periods."""
        return [(key, label) for key, (label, _) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows created since then."""
        if self.value() not in PERIODS:
            return queryset
        start = read_database_clock() - PERIODS[str(self.value())][1]
        first = uuid.UUID(int=int(start.timestamp() * 1000) << 80)
        return queryset.filter(id__gte=first)


class EventTypeFilter(DropdownFilter):
    """One type of event."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the types."""
        return [(key, found.label) for key, found in EVENT_TYPES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Keep one type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class InForceFilter(DropdownFilter):
    """Silences, by whether they have ended."""

    title = "status"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("no", "In force or to come"), ("yes", "Ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Silence]) -> QuerySet[Silence]:
        """Keep those that have ended, or the others."""
        if self.value() == "no":
            return queryset.filter(ends_at__gt=Now())
        return queryset.filter(ends_at__lte=Now()) if self.value() == "yes" else queryset
