"""How the pages show a replay: its state, its progress, and what it would send."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from eventsinks.actions.replaying import replay_job
from eventsinks.admin.parts import marks
from eventsinks.admin.replays.form import ReplayForm
from eventsinks.models import Delivery, Replay
from eventsinks.models.replay import ReplayState

SHOWN = 10  # deliveries that are shown before a start
TONES: dict[str, marks.Tone] = {
    ReplayState.RUNNING: "busy",
    ReplayState.DONE: "good",
    ReplayState.CANCELLED: "quiet",
}


def count_deliveries(form: ReplayForm) -> dict[str, Any]:
    """Return what the form would send again: how many deliveries, and the newest. Raises NotConfigurable."""
    selection = form.selection()
    previews = [(one, replay_job.preview_replay(one, selection)) for one in form.destinations()]
    shown = sorted((row for _, found in previews for row in found.sample), key=lambda row: row.id, reverse=True)
    number = sum(found.deliveries for _, found in previews)
    more = "at least " if any(found.capped for _, found in previews) else ""
    return {
        "number": number,
        "text": f"{more}{count_things(number, 'delivery', 'deliveries')}",
        "fingerprint": form.fingerprint(),
        "each": [(one, f"{found.deliveries:,}") for one, found in previews if found.deliveries],
        "sample": [show_sample(row) for row in shown[:SHOWN]],
    }


def show_sample(row: Delivery) -> dict[str, Any]:
    """Return one delivery for the page."""
    return {
        "link": marks.make_link("delivery", row.pk, marks.shorten(row.event.summary.title, 80)),
        "chip": marks.make_delivery_chip(row.state),
        "where": row.destination.name,
        "reason": marks.shorten(row.reason, 90),
        "at": marks.mark_moment(row.created_at),
    }


def describe_conditions(replay: Replay) -> str:
    """Return in words which deliveries a replay takes."""
    answers = {None: "", 0: "without an answer"}
    parts = [
        " and ".join(replay.states),
        answers.get(replay.status_class, f"answered {replay.status_class}xx"),
        f"reason contains “{replay.reason}”" if replay.reason else "",
        f"of type {replay.event_type}" if replay.event_type else "",
        f"at most {replay.rate_per_s:g} a second" if replay.rate_per_s else "",
    ]
    return ", ".join(filter(None, parts))


def make_replay_chip(replay: Replay) -> SafeString:
    """Return the chip of a replay's state."""
    counting = replay.state == ReplayState.RUNNING and replay.counted_to is not None
    return marks.make_chip(TONES[replay.state], "Counting" if counting else replay.get_state_display())


def draw_progress(replay: Replay) -> SafeString:
    """Return a bar, and the numbers that it shows."""
    return format_html(
        '<progress class="es-progress" value="{}" max="{}" aria-label="Replayed"></progress>'
        ' <span class="es-nowrap">{} of {}</span>',
        replay.replayed,
        max(replay.counted, 1),
        f"{replay.replayed:,}",
        f"{replay.counted:,}",
    )


def count_things(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun."""
    return f"1 {one}" if number == 1 else f"{number:,} {more or one + 's'}"
