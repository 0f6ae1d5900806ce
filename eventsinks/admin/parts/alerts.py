"""Alerts: how lists and pages name an event: its name, severity, rule, and its id to copy."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.views import ChangeList

from eventsinks.admin.parts import marks
from eventsinks.models.event import Event, fill_columns

SEVERITY_TONES: dict[str, marks.Tone] = {"Fatal": "bad", "Critical": "bad", "High": "warning", "Medium": "busy"}


class NamedEvents(ChangeList):  # type: ignore[misc]
    """A list of events, or of rows that have an event. Events without a title get it from their documents."""

    def get_results(self, request: HttpRequest) -> None:
        """Load the rows of a page."""
        super().get_results(request)
        fill_columns([row if isinstance(row, Event) else row.event for row in self.result_list])


def name_event(event: Event) -> SafeString:
    """Return its name, with its rule below."""
    rule = format_html('<span class="es-subtle es-host">{}</span>', event.rule) if event.rule else ""
    return format_html('<span class="es-name">{}{}</span>', marks.clip_text(event.name), rule)


def make_severity_chip(event: Event) -> SafeString | str:
    """Return the chip of its severity, and of its status if its incident does not stand open."""
    if not (name := event.severity_name):
        return ""
    chip = marks.make_chip(SEVERITY_TONES.get(name, "quiet"), name)
    return chip if event.status in ("", "firing") else format_html("{} {}", chip, make_status_chip(event.status))


def make_status_chip(status: str) -> SafeString:
    """Return the chip of what became of an incident."""
    return marks.make_chip("good" if status == "resolved" else "quiet", status.capitalize())


def show_id(id: object, name: str) -> SafeString:
    """Return an id with a button that copies it. `name` tells it from the other ids of the page."""
    return format_html(
        '<span class="es-id"><code id="{0}" title="{1}">{1}</code>'
        '<button type="button" class="es-copy" data-copy="#{0}" aria-label="Copy the id">Copy</button></span>',
        name,
        id,
    )
