"""The base of mappings: the same events in another schema, from document to document, without side effects."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from eventsinks.event_types import EventType
from eventsinks.event_types.documents import parse_accepted
from eventsinks.event_types.network_traffic import read_window
from eventsinks.lib import numbers
from eventsinks.lib.moments import read_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ATTACK = re.compile(r"(tactics|techniques)\.(ta?\d{4}(?:\.\d{3})?)(?:\.(\w+))?", re.IGNORECASE | re.ASCII)

Document = Mapping[str, Any]


class EventMapping(ABC):
    """One schema. A subclass is one file in `mappings/`. `version` is the schema's version, if it has one."""

    key: ClassVar[str]
    label: ClassVar[str]
    version: ClassVar[str] = ""

    @abstractmethod
    def mapped(self, event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
        """Return an accepted, parsed event in this schema."""

    def written(self, event_type: EventType, data: bytes, occurred_at: datetime) -> bytes:
        """Return an accepted event's bytes in this schema. Numbers keep their text."""
        return numbers.dumps(self.mapped(event_type, parse_accepted(data), occurred_at))


class Attack(NamedTuple):
    """A tactic or technique of MITRE ATT&CK in an alert's tag."""

    is_tactic: bool
    id: str
    name: str


class Flow(NamedTuple):
    """The counters of a flow: from source to destination, and back."""

    bytes_sent: int
    packets_sent: int
    bytes_answered: int
    packets_answered: int


def find_attacks(document: Document) -> list[Attack]:
    """Return what an alert's tags name, in Scanner's form: `techniques.t1098.account_manipulation`."""
    found = [ATTACK.fullmatch(tag) for tag in document.get("tags") or ()]
    return [
        Attack(match[1].lower() == "tactics", match[2].upper(), (match[3] or "").replace("_", " ").capitalize())
        for match in found
        if match
    ]


def read_flow(document: Document) -> Flow:
    """Return the counters of a flow by its ends.

    NetBird counts from the reporter's side: `tx` is what it sends. For incoming traffic, the reporter was not the
    first to send.
    """
    sent, received = (
        (document.get(f"{side}_bytes") or 0, document.get(f"{side}_packets") or 0) for side in ("tx", "rx")
    )
    reporter_is_destination = document.get("direction") == "INGRESS"
    return Flow(*received, *sent) if reporter_is_destination else Flow(*sent, *received)


def add_counters(one: int, other: int) -> int | None:
    """Return the sum, None if 64 bits can't hold it."""
    return one + other if one + other < 2**64 else None


def prune(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without empty values: None, empty texts, lists and objects. Numbers stay, also zero."""
    inside = {key: prune(item) if isinstance(item, dict) else item for key, item in value.items()}
    return {key: item for key, item in inside.items() if item is not None and item not in ("", [], {})}


def list_left(document: Document, *taken: str) -> dict[str, Any]:
    """Return the fields that are left after the `taken` ones: keys, or `key.key` for a key of an inner object."""
    rest = {key: value for key, value in document.items() if key not in taken}
    for path in taken:
        name, dot, inner = path.partition(".")
        if dot and isinstance(rest.get(name), dict):
            rest[name] = {key: value for key, value in rest[name].items() if key != inner}
    return {key: value for key, value in rest.items() if value not in (None, {})}


def write_milliseconds(at: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def read_moment(text: Any) -> datetime | None:
    """Return the moment in a text, None if there is none."""
    try:
        return read_time(text)
    except (TypeError, ValueError, AttributeError):
        return None


def read_span(document: Document) -> tuple[str, str]:
    """Return when a flow's window begins and ends, or its first and last event."""
    return read_window(document)
