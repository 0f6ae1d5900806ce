"""The seven fields of an event in NetBird's streams. Events of every shape have them.

Templates of bodies and names of objects use them: https://docs.netbird.io/manage/activity/event-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventsinks.destinations.base import Message
from eventsinks.event_types.documents import parse_accepted, read_text, write_time
from eventsinks.lib.numbers import dumps
from eventsinks.mappings import MAPPINGS
from eventsinks.mappings.netbird import TOLD_IN_PARTS, NetBird, map_seven_fields
from eventsinks.mappings.netbird import write_message as message_of

NAMES = {key: found.names for key, found in MAPPINGS.items() if isinstance(found, NetBird)}


@dataclass(frozen=True, slots=True)
class SevenFields:
    """The seven fields of an event. `meta` is for reading. `meta_json` is for sending, exact to the last digit."""

    id: int | str
    timestamp: str
    message: str
    initiator_id: str
    target_id: str
    meta: Mapping[str, Any]
    meta_json: bytes
    reference: str


def write_headline(message: Message) -> str:
    """Return the field `message` alone. This costs less than all seven."""
    if message.mapped:
        name = NAMES[message.mapping]["message"] if message.mapping in NAMES else "message"
        return read_text(message.document, name) or message.event_type.label
    # Not message.document: to keep a thousand documents costs more than to parse each again.
    return message_of(message.event_type, parse_accepted(message.data))


def write_seven_fields(message: Message) -> SevenFields:
    """Return the seven fields of an event. For another schema, `message` is that schema's, `meta` is all of it."""
    if message.mapping in NAMES:
        event = {field: message.document[name] for field, name in NAMES[message.mapping].items()}
        return SevenFields(**event, meta_json=dumps(event["meta"]))
    if message.mapped:
        at = write_time(message.occurred_at)
        return SevenFields(
            str(message.id), at, write_headline(message), "", "", message.document, message.data, ""
        )
    event = map_seven_fields(message.event_type, message.document, message.occurred_at)
    event["id"] = str(message.id) if event["id"] == "" else event["id"]
    in_parts = message.event_type.key in TOLD_IN_PARTS
    return SevenFields(**event, meta_json=dumps(event["meta"]) if in_parts else message.data)
