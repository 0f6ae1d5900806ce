"""Event sinks: the list with the health of each, a form for each destination type, pause and resume."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from eventsinks.admin.parts import charts, marks
from eventsinks.admin.parts.filters import SinkTypeFilter, StatusFilter
from eventsinks.admin.sinks.health import SinkHealth, measure_health
from eventsinks.admin.sinks.page import SinkPage
from eventsinks.models import EventSink
from eventsinks.models.counting.read import find_first_slot, sum_by_sink
from eventsinks.models.database.clock import read_database_clock


class EventSinkAdmin(SinkPage):
    """Event sinks."""

    list_display = ("name", "goes_to", "tenant", "status", "waiting", "recent", "day", "last_attempt")
    list_filter: ClassVar = [
        SinkTypeFilter,
        StatusFilter,
        ("tenant", AutocompleteSelectFilter),
    ]

    @admin.display(description="Goes to")
    def goes_to(self, sink: EventSink) -> SafeString:
        """The host or the channel, and the type."""
        return marks.show_target(sink)

    @admin.display(description="Status")
    def status(self, sink: EventSink) -> SafeString:
        """Whether it receives alerts, and if not, why."""
        return marks.show_status(sink)

    @admin.display(description="Waiting")
    def waiting(self, sink: EventSink) -> SafeString | str:
        """The number of deliveries that wait, and since when."""
        health = self.health(sink)
        if not health.waiting or health.oldest is None:
            return "–"
        age = marks.write_distance(health.oldest).removesuffix(" ago")
        return format_html(
            '<span class="es-nowrap">{}</span> <span class="es-subtle es-nowrap">oldest {}</span>',
            health.waiting_text,
            age,
        )

    @admin.display(description="Recent")
    def recent(self, sink: EventSink) -> SafeString | str:
        """The states of its newest deliveries."""
        return marks.draw_strip(self.health(sink).recent)

    @admin.display(description="Last 24 h")
    def day(self, sink: EventSink) -> SafeString | str:
        """What was accepted in the last 24 hours and has ended, and the share that was delivered."""
        now = read_database_clock()
        slots = sum_by_sink(find_first_slot(now), [sink.pk])[sink.pk]
        return charts.draw_sparkline(charts.sum_hours(slots, now.timestamp()))

    @admin.display(description="Last attempt")
    def last_attempt(self, sink: EventSink) -> SafeString | str:
        """The moment of its last try, and the answer."""
        attempt = self.health(sink).last_attempt
        if attempt is None:
            return "–"
        tone = marks.OUTCOME_TONES[attempt.outcome]
        said = str(attempt.status) if attempt.status else attempt.get_outcome_display()
        return format_html(
            "{} {}", marks.make_chip(tone, said, attempt.reason), marks.mark_moment(attempt.started_at)
        )

    def health(self, sink: EventSink) -> SinkHealth:
        """Measure a sink once per page."""
        found: SinkHealth | None = getattr(sink, "_health", None)
        if found is None:
            found = measure_health(sink.pk)
            sink._health = found  # type: ignore[attr-defined]
        return found
