"""The quiet windows of an event sink: what each held back, and whether that was told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html

from eventsinks.admin.parts import marks
from eventsinks.models import EventSink, QuietWindow
from eventsinks.models.quiet_window import WindowKind

SHOWN = 10  # newest windows


def windows_of(sink: EventSink) -> list[dict[str, Any]]:
    """Return the newest windows as they are shown."""
    newest = QuietWindow.objects.filter(destination_id=sink.pk).order_by("-starts_at")
    return [
        {
            "kind": kind_of(window),
            "since": marks.moment_mark(window.starts_at),
            "until": marks.moment_mark(window.closed_at or window.ends_at),
            "sent": window.sent,
            "held": window.held,
            "last": marks.short(window.last_title, 90),
            "told": told(window),
        }
        for window in newest[:SHOWN]
    ]


def kind_of(window: QuietWindow) -> str:
    """Return what held back; a silence has a page."""
    label = window.get_kind_display()
    if window.kind != WindowKind.SILENCE:
        return label
    address = reverse("admin:eventsinks_silence_change", args=[UUID(window.key)])
    return format_html('<a class="es-link" href="{}">{}</a>', address, label)


def told(window: QuietWindow) -> str:
    """Return the chip that says whether what was held back was told."""
    if window.told_at:
        return marks.chip("good", f"Told {marks.when(window.told_at)}")
    if not window.closed_at:
        return marks.chip("busy", "Open")
    return marks.chip("warning", "Round-up is due") if window.held else marks.chip("quiet", "Held nothing")
