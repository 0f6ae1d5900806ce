"""The alert for programs: the accepted event, followed by the texts of the event sink's own template.

Scanner formats webhooks too, but has not published how. Here each label becomes a key, as `View in Scanner` does
(docs/decisions/0037).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from eventsinks.destinations.base import Message
from eventsinks.lib.numbers import dumps


def make_body(message: Message) -> bytes:
    """Return the bytes of an event. The sink's template, if there is one, adds its labels and texts."""
    if message.template is None:
        return message.data
    return message.once("templated", lambda: add_texts(message))


def add_texts(message: Message) -> bytes:
    """Return the bytes of an event with all its keys, and the texts of its template as further keys."""
    told = make_distinct([*message.summary.info, *message.summary.actions], message.document)
    if not told:
        return message.data
    return message.data.rstrip()[:-1] + b"," + dumps(told)[1:]


def make_distinct(pairs: Sequence[tuple[str, str]], taken: Container[str]) -> dict[str, str]:
    """Return labels and values as a dict. A label that exists already gets a number."""
    found: dict[str, str] = {}
    for label, value in pairs:
        name, number = label, 1
        while name in found or name in taken:
            number += 1
            name = f"{label} ({number})"
        found[name] = value
    return found
