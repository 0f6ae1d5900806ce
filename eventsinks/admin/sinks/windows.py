"""The quiet windows of an event sink: what each held back, and whether a digest was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html

from eventsinks.admin.parts import marks
from eventsinks.models import EventSink, QuietWindow
from eventsinks.models.quiet_window import WindowKind

SHOWN = 10  # newest windows


def list_windows(sink: EventSink) -> list[dict[str, Any]]:
    """Return the newest windows, for the page."""
    newest = QuietWindow.objects.filter(destination_id=sink.pk).order_by("-starts_at")
    return [
        {
            "kind": show_kind(window),
            "since": marks.mark_moment(window.starts_at),
            "until": marks.mark_moment(window.closed_at or window.ends_at),
            "sent": window.sent,
            "held": window.held,
            "last": marks.shorten(window.last_title, 90),
            "told": make_told_chip(window),
        }
        for window in newest[:SHOWN]
    ]


def show_kind(window: QuietWindow) -> str:
    """Return what held alerts back. A silence is a link to its page."""
    label = window.get_kind_display()
    if window.kind != WindowKind.SILENCE:
        return label
    address = reverse("admin:eventsinks_silence_change", args=[UUID(window.key)])
    return format_html('<a class="es-link" href="{}">{}</a>', address, label)


def make_told_chip(window: QuietWindow) -> str:
    """Return the chip that says whether the digest of a window was sent."""
    if window.told_at:
        return marks.make_chip("good", f"Told {marks.write_distance(window.told_at)}")
    if not window.closed_at:
        return marks.make_chip("busy", "Open")
    return marks.make_chip("warning", "Digest is due") if window.held else marks.make_chip("quiet", "Held nothing")
