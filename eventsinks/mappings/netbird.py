"""NetBird: seven fields for every event, as its documentation of S3 shows them.

https://docs.netbird.io/manage/activity/event-streaming/amazon-s3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

import orjson

from eventsinks.event_types import EventType
from eventsinks.event_types.alert_template import NOTHING_TOLD
from eventsinks.event_types.audit import describe_activity, write_timestamp
from eventsinks.event_types.base import Summary
from eventsinks.event_types.documents import parse_accepted, read_text, write_time
from eventsinks.event_types.network_traffic import COUNTERS
from eventsinks.lib.numbers import dumps
from eventsinks.mappings.base import Document, EventMapping

FIELDS = ("timestamp", "message", "id", "initiator_id", "target_id", "meta", "reference")
TOLD_IN_PARTS = ("audit", "network_traffic")  # in the others, `meta` is the whole event
NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")  # digits that every JSON reader with 64 bits reads as a number


class NetBird(EventMapping):
    """The format of NetBird's own streams. `names` are the names of the seven fields, in order."""

    key: ClassVar[str] = "netbird"
    label: ClassVar[str] = "NetBird"
    names: ClassVar[Mapping[str, str]] = dict(zip(FIELDS, FIELDS, strict=True))

    def mapped(self, event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
        """Return an event in the seven fields."""
        found = map_seven_fields(event_type, document, occurred_at)
        return {name: found[field] for field, name in self.names.items()}

    def written(self, event_type: EventType, data: bytes, occurred_at: datetime) -> bytes:
        """Return an event in the seven fields. A whole event in `meta` stays byte for byte."""
        event = self.mapped(event_type, parse_accepted(data), occurred_at)
        if event_type.key not in TOLD_IN_PARTS:
            event[self.names["meta"]] = orjson.Fragment(data)
        return dumps(event)


def map_seven_fields(event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
    """Return an event in FIELDS. A type that NetBird does not have uses its summary."""
    if event_type.key == "audit":
        return map_audit(document, occurred_at)
    if event_type.key == "network_traffic":
        return map_network_traffic(document, occurred_at)
    summary = write_summary(event_type, document)
    return {
        "timestamp": write_moment(document, occurred_at),
        "message": summary.title,
        "id": read_text(document, "id"),
        "initiator_id": "",
        "target_id": "",
        "meta": dict(document),
        "reference": summary.link,
    }


def write_message(event_type: EventType, document: Document) -> str:
    """Return only the field `message`, which is all that some types need."""
    if event_type.key == "network_traffic":
        return name_happening(find_last(document))
    if event_type.key == "audit":
        return describe_activity(document).lower()
    return write_summary(event_type, document).title


def write_summary(event_type: EventType, document: Document) -> Summary:
    """Return the summary of an event of another type. For an alert it leaves the template out."""
    is_alert = event_type.key == "detection_alert"
    return event_type.summary(document, NOTHING_TOLD) if is_alert else event_type.summary(document)


def map_audit(document: Document, occurred_at: datetime) -> dict[str, Any]:
    """Return an audit event. Its id becomes a number if possible."""
    id = read_text(document, "id")
    return {
        "timestamp": write_moment(document, occurred_at),
        "message": describe_activity(document).lower(),
        "id": int(id) if NUMBER.fullmatch(id) else id,
        "initiator_id": read_text(document, "initiator_id"),
        "target_id": read_text(document, "target_id"),
        "meta": document.get("meta") or {},
        "reference": read_text(document, "reference"),
    }


def map_network_traffic(document: Document, occurred_at: datetime) -> dict[str, Any]:
    """Return a flow by its last event. Its meta says who, and how much."""
    last = find_last(document)
    return {
        "timestamp": write_moment(last, occurred_at),
        "message": name_happening(last),
        "id": read_text(document, "flow_id"),
        "initiator_id": "",
        "target_id": "",
        "meta": {
            "flow_id": read_text(document, "flow_id"),
            "direction": read_text(document, "direction"),
            **map_end(document, "source"),
            **map_end(document, "destination"),
            "protocol": document.get("protocol"),
            **{name: document.get(name) or 0 for name in COUNTERS},
            "policy_name": read_text(document, "policy", "name"),
            "reporter_id": read_text(document, "reporter_id"),
            "user_id": read_text(document, "user", "id"),
        },
        "reference": "",
    }


def write_moment(document: Document, occurred_at: datetime) -> str:
    """Return the event's own time, to the nanosecond, or the one that we know if it has no valid time."""
    given = write_timestamp(document, occurred_at)
    try:
        datetime.fromisoformat(given)
    except ValueError:
        return write_time(occurred_at)
    return given


def find_last(document: Document) -> Document:
    """Return the last event of a flow."""
    events = document.get("events")
    return cast(Document, events[-1]) if events else {}


def name_happening(last: Document) -> str:
    """Return the name of such an event."""
    return read_text(last, "type") or "TYPE_UNKNOWN"


def map_end(document: Document, side: str) -> dict[str, str]:
    """Return one end of a flow."""
    parts = {"addr": "address", "name": "name", "type": "type"}
    return {f"{side}_{part}": read_text(document, side, name) for part, name in parts.items()}
