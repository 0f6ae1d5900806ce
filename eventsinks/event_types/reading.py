"""Readings: one event for many destinations, parsed once, summarised once for each template, on one budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar, cast

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import EventType, Summary
from eventsinks.event_types.documents import parse_accepted
from eventsinks.lib.budget import Budget

# The most of an event that chat and paging types read: more than any of them shows.
MAX_TEXT = 25_000  # characters of the text
MAX_VALUE = 10_000  # of a fact or a cell
MAX_LINE = 5_000  # of a link or a source
MAX_TAGS, MAX_TAG = 200, 1_000

Made = TypeVar("Made")


class Reading:
    """One event for many destinations. `data` is its bytes, as accepted."""

    is_counted = False  # whether the metrics have counted its spent budget

    def __init__(self, event_type: EventType, data: bytes) -> None:
        self.event_type, self.data = event_type, data

    @cached_property
    def budget(self) -> Budget:
        """The budget for everything that is rendered from it."""
        return Budget()

    @cached_property
    def _summaries(self) -> dict[AlertTemplate | None, Summary]:
        return {}

    @cached_property
    def _made(self) -> dict[object, Any]:
        return {}

    @cached_property
    def document(self) -> Any:
        """The parsed data. To send the exact bytes, use `data`."""
        return parse_accepted(self.data)

    def summary(self, template: AlertTemplate | None, mark: str = "") -> Summary:
        """Return its summary with `template`, and with `mark` before its title."""
        if template not in self._summaries:
            told = self.event_type.summary(self.document, template, self.budget)
            self._summaries[template] = shorten_summary(told)
        found = self._summaries[template]
        return replace(found, title=f"{mark} {found.title}") if mark else found

    def dedup_key(self, template: AlertTemplate | None) -> str:
        """Return the key that all messages about its incident share."""
        return self.once(
            ("dedup_key", template), lambda: self.event_type.dedup_key(self.document, template, self.budget)
        )

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """Return the result of `make`, which runs once for this event and `key`."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])


class Readings:
    """The readings of recent events by their ids, up to a number of bytes together."""

    def __init__(self, most: int = 1_000, size: int = 4 * 1024 * 1024) -> None:
        self._most, self._size = most, size
        self._held: OrderedDict[int, Reading] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, event_id: int, event_type: EventType, data: bytes) -> Reading:
        """Return the reading of an event."""
        with self._lock:
            found = self._held.pop(event_id, None)
            if found is not None and (found.event_type is not event_type or found.data != data):
                self._bytes -= len(found.data)
                found = None
            if found is None:
                found = Reading(event_type, data)
                self._bytes += len(data)
            self._held[event_id] = found
            while len(self._held) > 1 and (self._bytes > self._size or len(self._held) > self._most):
                _, gone = self._held.popitem(last=False)
                self._bytes -= len(gone.data)
        return found


def shorten_summary(summary: Summary) -> Summary:
    """Return a summary whose parts are cut to not much more than what is shown."""
    return replace(
        summary,
        text=summary.text[:MAX_TEXT],
        link=summary.link[:MAX_LINE],
        source=summary.source[:MAX_LINE],
        tags=tuple(tag[:MAX_TAG] for tag in summary.tags[:MAX_TAGS]),
        facts=tuple((label[:MAX_VALUE], value[:MAX_VALUE]) for label, value in summary.facts),
        columns=tuple(name[:MAX_VALUE] for name in summary.columns),
        rows=tuple(tuple(cell[:MAX_VALUE] for cell in row) for row in summary.rows),
    )
