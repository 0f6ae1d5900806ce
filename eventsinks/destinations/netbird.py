"""How NetBird's streams name the seven fields of an event, which are the mapping `netbird`.

Its page of generic HTTP streaming shows them in mixed case, its page of S3 in snake case:
https://docs.netbird.io/manage/activity/event-streaming/generic-http and .../amazon-s3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from eventsinks.destinations.base import Message
from eventsinks.event_types.documents import parsed, said, written
from eventsinks.lib import numbers
from eventsinks.mappings.netbird import NetBird
from eventsinks.mappings.netbird import message as message_of

MAPPING = NetBird()
MIXED = {
    "ID": "id",
    "Timestamp": "timestamp",
    "Message": "message",
    "InitiatorID": "initiator_id",
    "target_id": "target_id",
    "meta": "meta",
    "reference": "reference",
}
SNAKE = {name: name for name in ("timestamp", "message", "id", "initiator_id", "target_id", "meta", "reference")}
TOLD_IN_PARTS = ("audit", "network_traffic")  # of the others, `meta` is the whole event


@dataclass(frozen=True, slots=True)
class Told:
    """An event in the seven fields. `meta` is to be read; `meta_json` goes on, exact to the last digit."""

    id: int | str
    timestamp: str
    message: str
    initiator_id: str
    target_id: str
    meta: Mapping[str, Any]
    meta_json: bytes
    reference: str


def headline(message: Message) -> str:
    """Return the field `message` alone: one of the seven, without the price of the others."""
    if message.mapped:
        return said(message.document, "message") or message.event_type.label
    # Not message.document: a thousand documents that are kept cost more than reading them.
    return message_of(message.event_type, parsed(message.data))


def told(message: Message) -> Told:
    """Tell an event; one in another schema by that schema's `message`, with itself as `meta`."""
    if message.mapped:
        at = written(message.occurred_at)
        return Told(str(message.id), at, headline(message), "", "", message.document, message.data, "")
    event = MAPPING.mapped(message.event_type, message.document, message.occurred_at)
    event["id"] = str(message.id) if event["id"] == "" else event["id"]
    in_parts = message.event_type.key in TOLD_IN_PARTS
    event["meta_json"] = numbers.dumps(event["meta"]) if in_parts else message.data
    event["timestamp"] = moment(event["timestamp"], message.occurred_at)
    return Told(**event)


def mixed_case(message: Message) -> bytes:
    """Return an event as NetBird posts it over HTTP: half of the names are Go's, half are JSON's.

    In another schema, it goes on in that.
    """
    return message.data if message.mapped else numbers.dumps(_in_fields(told(message), MIXED))


def snake_case(message: Message) -> bytes:
    """Return an event as NetBird writes it to S3. In another schema, it goes on in that."""
    return message.data if message.mapped else numbers.dumps(_in_fields(told(message), SNAKE))


def _in_fields(event: Told, names: Mapping[str, str]) -> dict[str, Any]:
    meta = orjson.Fragment(event.meta_json)
    return {name: meta if field == "meta" else getattr(event, field) for name, field in names.items()}


def moment(said: str, occurred_at: datetime) -> str:
    """Return the time as it is said, to the nanosecond, or as we know it where there is no such time."""
    try:
        datetime.fromisoformat(said)
    except ValueError:
        return written(occurred_at)
    return said
