"""Digest: closes the quiet windows that are over, and sends each sink a summary of what they held back."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.event_types.documents import write_time
from eventsinks.intake.notify import notify
from eventsinks.intake.route import KnownSilence, find_silences
from eventsinks.lib.filters.asked import Asked
from eventsinks.limits.isolation import do_each
from eventsinks.limits.round_robin import SECONDS, do_in_turns
from eventsinks.models import Destination, Event, QuietWindow
from eventsinks.models.quiet_window import AT_ONCE as WINDOWS
from eventsinks.models.quiet_window import WindowKind

AT_ONCE = 50  # digests of one sink in one batch

HELD_BY = {
    WindowKind.SILENCE: "a silence",
    WindowKind.DEDUP: "deduplication",
    WindowKind.GROUP: "grouping",
    WindowKind.THROTTLE: "the throttle",
}


def send_digests() -> int:
    """Close the ended windows and accept the due digests, some of each tenant in turn. Return how many."""
    until = time.monotonic() + SECONDS
    for some in (QuietWindow.objects.close_ended, QuietWindow.objects.forget_empty):
        while some() == WINDOWS and time.monotonic() < until:
            pass
    owed = Destination.objects.filter(id__in=QuietWindow.objects.sinks_to_tell())
    return do_in_turns(list(owed.values_list("tenant_id", "id")), send_digests_of_sink)


def send_digests_of_sink(sink_id: int) -> tuple[int, bool]:
    """Accept the oldest digests of one sink. Return how many, and whether there may be more."""
    owed = QuietWindow.objects.due_to_tell().filter(destination_id=sink_id).order_by("closed_at")[:AT_ONCE]
    dealt_with = do_each(owed, send_digest)
    return dealt_with, dealt_with == AT_ONCE


def send_digest(window: QuietWindow) -> bool:
    """Accept the digest of one window, once: the same transaction marks the window as told.

    If another silence would hold back the last alert too, the digest of a silence waits for the end of that one.
    """
    with transaction.atomic():
        mine = QuietWindow.objects.due_to_tell().filter(id=window.id)
        if not mine.unlocked():
            return False
        sink = Destination.objects.present().select_related("tenant").filter(id=window.destination_id).first()
        last = Event.objects.filter(id=window.last_event or 0, expunged_at=None).first()
        if window.kind == WindowKind.SILENCE and sink and last and (hush := find_longest_silence(sink, last)):
            return bool(mine.update(tell_after=Now() + timedelta(seconds=hush.seconds)))
        if not mine.update(told_at=Now()) or sink is None:
            return False
        since, until = window.starts_at, window.closed_at or window.ends_at
        notify(
            sink,
            f"round-up-{window.id}",
            "round_up",
            f"+{window.held} like this, {since:%H:%M}–{until:%H:%M} UTC, last: {window.last_title}",
            f"{window.held} held back by {HELD_BY[WindowKind(window.kind)]}; {window.sent} sent.",
            held=window.held,
            held_by=window.kind,
            since=write_time(since),
            until=write_time(until),
            last_alert_id=last.key if last else "",
            **find_incident(window, sink, last),
        )
        return True


def find_longest_silence(sink: Destination, event: Event) -> KnownSilence | None:
    """Return the longest active silence that holds `event` back at a sink, None if there is none."""
    now = time.monotonic()
    silences = [
        hush for hush in find_silences(sink.tenant) if hush.sink in (None, sink.id) and hush.is_in_force(now)
    ]
    if not silences:
        return None
    asked = Asked(event.event_type.told_to_filters(event.document))
    return next((hush for hush in silences if hush.holds(sink.id, asked)), None)


def find_incident(window: QuietWindow, sink: Destination, last: Event | None) -> dict[str, str]:
    """Return the incident of a digest whose window let only the first alert of an incident through."""
    if window.kind != WindowKind.DEDUP or last is None:
        return {}
    return {"dedup_key": last.event_type.dedup_key(last.document, sink.template)}
