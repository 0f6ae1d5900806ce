"""Quieten: holds back alerts of which a sink has had enough, and counts them.

It runs inside the transaction that accepts the alerts, so the held-back deliveries and the counts commit together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from eventsinks.event_types.documents import read_text
from eventsinks.event_types.reading import Reading
from eventsinks.intake.route import Route, RouteVerdict, Sink
from eventsinks.models import QuietWindow
from eventsinks.models.database.sql import clean_text
from eventsinks.models.new_event import NewEvent
from eventsinks.models.options import Quiet
from eventsinks.models.quiet_window import WindowClaim, WindowKind


@dataclass(slots=True)
class Case:
    """One event at one sink, checked against one kind of window after another."""

    event: NewEvent
    sink: Sink
    verdict: RouteVerdict
    position: tuple[int, int]  # of the verdict: which event, which of its sinks


def quieten(
    events: Sequence[NewEvent], verdicts: Sequence[Sequence[RouteVerdict]], route: Route
) -> list[list[RouteVerdict]]:
    """Return the verdicts on `events`, with a reason where a window holds one back."""
    found = [list(own) for own in verdicts]
    cases = [
        Case(events[index], route.sinks[verdict.sink], verdict, (index, place))
        for index, own in enumerate(found)
        for place, verdict in enumerate(own)
        if verdict.silence or (not verdict.reason and route.sinks[verdict.sink].quiet)
    ]
    if not cases or route.event_type.ours:
        return found
    readings = {event.id: Reading(route.event_type, event.data) for event in {case.event for case in cases}}
    for kind in WindowKind:
        wishes = [
            (case, wish) for case in cases if (wish := make_wish(kind, case, readings[case.event.id])) is not None
        ]
        pass_windows(wishes)
    for case in cases:
        index, place = case.position
        found[index][place] = case.verdict
    return found


def pass_windows(wishes: Sequence[tuple[Case, WindowClaim]]) -> None:
    """Let events pass while the windows of one kind have room. Hold back the others, with the reason."""
    if not wishes:
        return
    # A silence has less time left for each event, and all of them count in one window.
    by_window = {(wish.destination_id, wish.kind, wish.key): wish for _, wish in wishes}
    windows = QuietWindow.objects.enter(sorted(by_window.values()))
    last_held: dict[QuietWindow, NewEvent] = {}
    for case, wish in wishes:
        window = windows[wish.destination_id, wish.kind, wish.key]
        if window.sent < wish.limit:
            window.sent += 1
            continue
        window.held += 1
        last_held[window] = case.event
        if not case.verdict.reason:
            case.verdict = case.verdict._replace(reason=explain_held(wish, case.sink))
    for window, event in last_held.items():
        title = event.event_type.summary(event.document).title
        window.last_event, window.last_title = event.id, clean_text(title[:500])
    QuietWindow.objects.note(list(windows.values()))


def make_wish(kind: WindowKind, case: Case, reading: Reading) -> WindowClaim | None:
    """Return the window of this kind that an event must pass, None if there is none."""
    if kind == WindowKind.SILENCE:
        return case.verdict.silence
    quiet = case.sink.quiet
    if case.verdict.reason or quiet is None or reading.document.get("status", "firing") != "firing":
        return None
    if kind == WindowKind.DEDUP:
        return make_dedup_wish(case, quiet, reading)
    if kind == WindowKind.GROUP and quiet.group:
        by = quiet.group.by
        key = reading.once(
            ("group", by), lambda: digest_values([read_text(reading.document, *path.split(".")) for path in by])
        )
        return WindowClaim(case.sink.id, kind, key, 1, quiet.group.window_s)
    if kind == WindowKind.THROTTLE and quiet.throttle:
        return WindowClaim(case.sink.id, kind, "", quiet.throttle.limit, quiet.throttle.window_s)
    return None


def make_dedup_wish(case: Case, quiet: Quiet, reading: Reading) -> WindowClaim | None:
    """Return the window of an incident. An alert that is alone in its incident needs none: its id is unique."""
    if not quiet.dedup_window_s:
        return None
    key = reading.dedup_key(case.sink.template)
    if not key or key == case.event.key:
        return None
    return WindowClaim(case.sink.id, WindowKind.DEDUP, digest_values([key]), 1, quiet.dedup_window_s)


def digest_values(values: Sequence[str]) -> str:
    """Return the hash of `values` for the key of a window."""
    return hashlib.blake2b(orjson.dumps(list(values)), digest_size=16).hexdigest()


def explain_held(wish: WindowClaim, sink: Sink) -> str:
    """Return the reason why a window held an alert back."""
    if wish.kind == WindowKind.DEDUP:
        return f"deduplicated: this incident was told within {wish.seconds:g} s"
    if wish.kind == WindowKind.GROUP and sink.quiet and sink.quiet.group:
        return f"grouped: one alike in {', '.join(sink.quiet.group.by)} was sent within {wish.seconds:g} s"
    return f"throttled: more than {wish.limit} in {wish.seconds:g} s"
