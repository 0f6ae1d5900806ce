"""The alert as programs read it: as it was accepted, and behind it what the event sink's own template tells.

Scanner's formatting is for webhooks too; how it looks in JSON is published nowhere. Each label becomes a key, as
`View in Scanner` is one (docs/decisions/0037).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from eventsinks.destinations.base import Message
from eventsinks.lib.numbers import dumps


def make_body(message: Message) -> bytes:
    """Return the bytes of an event, to which its sink's template, if there is one, adds its labels and texts."""
    if message.template is None:
        return message.data
    return message.once("templated", lambda: add_texts(message))


def add_texts(message: Message) -> bytes:
    """Return the bytes of an event with what its template tells as further keys, and with all that it had."""
    told = make_distinct([*message.summary.info, *message.summary.actions], message.document)
    if not told:
        return message.data
    return message.data.rstrip()[:-1] + b"," + dumps(told)[1:]


def make_distinct(pairs: Sequence[tuple[str, str]], taken: Container[str]) -> dict[str, str]:
    """Return label and value as a dict; a label that is taken is told from the other by a number."""
    found: dict[str, str] = {}
    for label, value in pairs:
        name, number = label, 1
        while name in found or name in taken:
            number += 1
            name = f"{label} ({number})"
        found[name] = value
    return found
