"""Marks: small parts of pages, such as chips, ages and bars. All text in them is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from eventsinks.actions.status import LABELS, DestinationStatus, explain_failing, find_status
from eventsinks.models import Destination
from eventsinks.models.attempt import Outcome
from eventsinks.models.database.clock import estimate_database_clock
from eventsinks.models.delivery import DeliveryState

Tone = Literal["good", "bad", "warning", "busy", "quiet"]

DELIVERY_TONES: dict[str, Tone] = {
    DeliveryState.PENDING: "busy",
    DeliveryState.SENDING: "busy",
    DeliveryState.DELIVERED: "good",
    DeliveryState.FAILED: "bad",
    DeliveryState.SUPPRESSED: "quiet",
}
OUTCOME_TONES: dict[str, Tone] = {
    Outcome.DELIVERED: "good",
    Outcome.TEMPORARY: "warning",
    Outcome.UNKNOWN: "warning",
    Outcome.REFUSED: "bad",
    Outcome.GONE: "bad",
}
TROUBLED = (DestinationStatus.OPEN, DestinationStatus.FAILING)
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
LONG = 160  # characters of a text in a list


def make_chip(tone: Tone, text: str, title: str = "") -> SafeString:
    """Return `text` on a coloured background. The text says the same as the colour."""
    return format_html('<span class="es-chip es-{}" title="{}">{}</span>', tone, title, text)


STATUS_TONES: Mapping[DestinationStatus, Tone] = {
    DestinationStatus.DISABLED: "bad",
    DestinationStatus.OPEN: "bad",
    DestinationStatus.FAILING: "bad",
    DestinationStatus.HELD: "warning",
    DestinationStatus.RESUMING: "busy",
    DestinationStatus.PAUSED: "quiet",
    DestinationStatus.ACTIVE: "good",
}
STATUS_ICONS: Mapping[DestinationStatus, str] = {  # names of the admin's icon font
    DestinationStatus.DISABLED: "block",
    DestinationStatus.OPEN: "power_off",
    DestinationStatus.FAILING: "error",
    DestinationStatus.HELD: "hourglass_top",
    DestinationStatus.RESUMING: "autorenew",
    DestinationStatus.PAUSED: "pause_circle",
    DestinationStatus.ACTIVE: "check_circle",
}


def make_delivery_chip(state: str) -> SafeString:
    """Return the chip of a delivery's state."""
    return make_chip(DELIVERY_TONES[state], DeliveryState(state).label)


def name_status(sink: Destination) -> tuple[Tone, str]:
    """Return the status of a sink with its tone: the word, and why it is so or until when."""
    if sink.deleted_at:
        return "quiet", "Deleted"
    status = find_status(sink)
    tone, text = STATUS_TONES[status], LABELS[status]
    if status is DestinationStatus.HELD and sink.held_until:
        return tone, f"{text} until {write_clock(sink.held_until)}"
    reasons = {DestinationStatus.DISABLED: sink.state_reason, **dict.fromkeys(TROUBLED, sink.trouble_reason)}
    reason = reasons.get(status)
    return tone, f"{text}: {reason}" if reason else text


def write_clock(moment: datetime) -> str:
    """Return a moment as a time of day, with the date unless it is today."""
    local = timezone.localtime(moment)
    today = local.date() == timezone.localtime(estimate_database_clock()).date()
    return f"{local:%H:%M:%S %Z}" if today else f"{local:%-d %b %Y, %H:%M %Z}"


def write_span(seconds: float) -> str:
    """Return a duration in its largest unit: `3 min`."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def write_distance(moment: datetime) -> str:
    """Return the distance to a moment: `3 min ago`, `in 28 min`, `now`."""
    seconds = (estimate_database_clock() - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{write_span(seconds)} ago" if seconds > 0 else f"in {write_span(-seconds)}"


def mark_moment(moment: datetime | None) -> SafeString | str:
    """Return the distance to a moment. A tooltip shows the moment itself."""
    if moment is None:
        return "–"
    iso = timezone.localtime(moment).isoformat(sep=" ", timespec="milliseconds")
    return format_html(
        '<time datetime="{}" title="{}" class="es-nowrap">{}</time>', iso, iso, write_distance(moment)
    )


def shorten(text: str, limit: int = LONG) -> str:
    """Return `text` on one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def clip_text(text: str) -> SafeString:
    """Return a text for a list, on two lines at most."""
    return format_html('<span class="es-clipped" title="{}">{}</span>', shorten(text, 600), shorten(text))


def draw_strip(states: Sequence[str]) -> SafeString | str:
    """Return a sink's last deliveries as bars, newest on the right. A bar's height says the same as its colour."""
    if not states:
        return "–"
    heights = {DeliveryState.DELIVERED: 16, DeliveryState.FAILED: 16, DeliveryState.SUPPRESSED: 3}
    bars = [
        (6 * index, 16 - heights.get(DeliveryState(state), 8), heights.get(DeliveryState(state), 8), state)
        for index, state in enumerate(reversed(states))
    ]
    counted = [(states.count(state), label.lower()) for state, label in DeliveryState.choices]
    words = ", ".join(f"{count} {label}" for count, label in counted if count)
    return format_html(
        '<svg class="es-strip" width="{}" height="16" role="img" aria-label="{}"><title>{}</title>{}</svg>',
        6 * len(states),
        f"The last {len(states)} deliveries: {words}",
        f"The last {len(states)} deliveries: {words}",
        format_html_join("", '<rect x="{}" y="{}" height="{}" width="4" rx="1" class="es-bar-{}"/>', bars),
    )


def make_link(page: str, key: object, text: object) -> SafeString:
    """Return a link to the page of one row. `page` is a model's name, such as `eventsink`."""
    url = reverse(f"admin:eventsinks_{page}_change", args=[key])
    return format_html('<a href="{}" class="es-link">{}</a>', url, text)


def link_sink(sink: Destination) -> SafeString | str:
    """Return a link to a sink or an integration. A deleted one has no page, so it gets no link."""
    if sink.deleted_at is not None:
        return f"{sink.name} (deleted)"
    return make_link("integration" if sink.kind.face == "integration" else "eventsink", sink.pk, sink.name)


def show_target(destination: Destination) -> SafeString:
    """Return the host or the channel, and the type below it.

    A whole URL is never shown: it may contain a secret.
    """
    target, label = shorten(destination.target()), destination.kind.label
    if target == label:
        return format_html('<span class="es-host">{}</span>', label)
    return format_html(
        '<span class="es-host" title="{}">{}</span><span class="es-subtle">{}</span>', target, target, label
    )


def show_status(destination: Destination) -> SafeString:
    """Return the status of a destination for a list: the chip, and below it since when it fails."""
    chip, since = make_status_chip(destination), explain_failing(destination).failing_since
    if since is None:
        return chip
    return format_html('{} <span class="es-subtle es-nowrap">began {}</span>', chip, mark_moment(since))


def make_status_chip(destination: Destination) -> SafeString:
    """Return the chip that says whether a destination is active, and if not, why."""
    tone, text = name_status(destination)
    icon = "delete" if destination.deleted_at else STATUS_ICONS[find_status(destination)]
    return format_html(
        '<span class="es-chip es-status es-{}" title="{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        text,
        icon,
        shorten(text, 60),
    )
