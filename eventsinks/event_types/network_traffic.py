"""Network traffic: the shape of a flow is that of NetBird's API (GET /api/events/network-traffic)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.audit import RFC3339
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.documents import give_id, read_document, read_moment, read_text, write_time
from eventsinks.event_types.network_traffic_data import NetworkTrafficData
from eventsinks.lib.budget import Budget
from eventsinks.lib.moments import read_time

# Their bits in a FlowShape. One flow may have several of the types.
TYPES = {"TYPE_UNKNOWN": 1, "TYPE_START": 2, "TYPE_END": 4, "TYPE_DROP": 8}
DIRECTIONS = {"DIRECTION_UNKNOWN": 0, "INGRESS": 1, "EGRESS": 2}
CONNECTION_TYPES = {"P2P": 1, "ROUTED": 2}
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}  # the usual ones, with IANA's numbers
COUNTERS = ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")
COUNTS = ("num_of_starts", "num_of_ends", "num_of_drops")
HAPPENED = {"num_of_starts": "TYPE_START", "num_of_ends": "TYPE_END", "num_of_drops": "TYPE_DROP"}


class FlowShape(NamedTuple):
    """The fields of a flow with few values: the protocol, and the numbers above.

    The bits of several types are added.
    """

    protocol: int
    types: int
    direction: int
    connection_type: int

    @property
    def number(self) -> int:
        """The shape in 16 bits."""
        return self.protocol << 8 | self.types << 4 | self.direction << 2 | self.connection_type

    @classmethod
    def of(cls, number: int) -> Self:
        """Return the shape of this number."""
        return cls(number >> 8, number >> 4 & 15, number >> 2 & 3, number & 3)


class NetworkTrafficType(EventType):
    """Traffic between two ends, as one of them reported it."""

    key: ClassVar[str] = "network_traffic"
    label: ClassVar[str] = "Network traffic"
    Data: ClassVar[type[BaseModel]] = NetworkTrafficData
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"flow_id": "flow-1", "source": {}, "destination": {}, "protocol": 6},
        {
            "id": "1",
            "flow_id": "flow-1",
            "source": {"id": "peer-1", "type": "PEER", "name": "laptop", "address": "100.64.0.1:51820"},
            "destination": {"id": "peer-2", "type": "PEER", "name": "db", "address": "100.64.0.2:5432"},
            "protocol": 6,
            "direction": "EGRESS",
            "connection_type": "P2P",
            "rx_bytes": 2**64 - 1,
            "events": [{"type": "TYPE_START", "timestamp": "2026-05-04T09:30:00Z"}],
        },
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one flow. If it has no id, put one at its front. Every other byte stays."""
        flow = read_document(raw, NetworkTrafficData)
        key, data = give_id(raw, flow, flow.id)
        return Accepted(key=key, occurred_at=find_occurred_at(flow), data=data)

    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return a flow for people."""
        source, destination = name_end(data, "source"), name_end(data, "destination")
        happened, reporter = list_types(data), read_text(data, "reporter_id") or "a peer"
        rows = [
            ("Happened", ", ".join(happened)),
            ("Protocol", name_protocol(data)),
            ("Source", read_text(data, "source", "address")),
            ("Destination", read_text(data, "destination", "address")),
            ("User", read_text(data, "user", "email") or read_text(data, "user", "id")),
            ("Policy", read_text(data, "policy", "name")),
            ("Received, sent", f"{data.get('rx_bytes') or 0}, {data.get('tx_bytes') or 0} bytes"),
        ]
        return Summary(
            title=f"{source} → {destination}",
            text=f"{'dropped' if 'TYPE_DROP' in happened else 'seen'} by {reporter}",
            severity="Informational",
            source="network traffic",
            dedup_key=read_text(data, "flow_id"),
            facts=tuple((label, value) for label, value in rows if value),
            details=data,
        )

    def indexed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns for searching flows."""
        ends = [read_text(data, side, name) for side in ("source", "destination") for name in ("name", "address")]
        texts = (read_text(data, "user", "email"), *ends)
        return {
            "user_id": read_text(data, "user", "id"),
            "reporter_id": read_text(data, "reporter_id"),
            "source_id": read_text(data, "source", "id"),
            "destination_id": read_text(data, "destination", "id"),
            "shape": FlowShape(
                data["protocol"],
                sum({TYPES[happened] for happened in list_types(data)}),
                DIRECTIONS[read_text(data, "direction") or "DIRECTION_UNKNOWN"],
                CONNECTION_TYPES[read_connection_type(data)],
            ).number,
            "search": "\n".join(texts).lower().replace("\0", ""),
        }

    def read_back(self, data: Mapping[str, Any], received_at: datetime) -> dict[str, Any]:
        """Return `data` with all fields that NetBird's API always returns. Other fields that were sent stay."""
        happened = data.get("events") or []
        starts = {name: sum(one["type"] == type for one in happened) for name, type in HAPPENED.items()}
        received = write_date_time(data.get("receive_timestamp"), received_at)
        begins, ends = (write_date_time(one, None) for one in read_window(data))
        return {
            **data,
            "receive_timestamp": received,
            "window_start": begins or received,
            "window_end": ends or received,
            "reporter_id": read_text(data, "reporter_id"),
            "source": show_endpoint(data["source"]),
            "destination": show_endpoint(data["destination"]),
            "user": {name: read_text(data, "user", name) for name in ("id", "email", "name")},
            "policy": {name: read_text(data, "policy", name) for name in ("id", "name")},
            "icmp": {name: (data.get("icmp") or {}).get(name) or 0 for name in ("type", "code")},
            "direction": read_text(data, "direction") or "DIRECTION_UNKNOWN",
            "connection_type": read_connection_type(data),
            **{name: data.get(name) or 0 for name in COUNTERS},
            **{name: starts[name] if data.get(name) is None else data[name] for name in COUNTS},
            "events": [{**one, "timestamp": write_date_time(one["timestamp"], received_at)} for one in happened],
        }


def find_occurred_at(flow: NetworkTrafficData) -> datetime:
    """Return when it happened: at its last event, or else at the end of its window. Raises NotAcceptable."""
    moments = {
        **{f"events.{number}.timestamp": happened.timestamp for number, happened in enumerate(flow.events or [])},
        "window_start": flow.window_start,
        "window_end": flow.window_end,
        "receive_timestamp": flow.receive_timestamp,
    }
    known = {field: read_moment(text, field) for field, text in moments.items() if text is not None}
    if flow.events:
        return known[f"events.{len(flow.events) - 1}.timestamp"]
    by = next((field for field in ("window_end", "window_start", "receive_timestamp") if field in known), None)
    return known[by] if by else read_moment(None)


def write_date_time(given: Any, otherwise: datetime | None) -> str:
    """Return an accepted time in a form that every client can read, unchanged if possible.

    If there is no time, return the moment `otherwise`, or "" if that is None.
    """
    if not given:
        return write_time(otherwise) if otherwise else ""
    return str(given) if RFC3339.fullmatch(str(given)) else write_time(read_time(str(given)))


def read_window(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return when a flow's window begins and ends: its own values, or else its first and last event.

    Return "" for a value that is missing in both.
    """
    moments = [read_text(one, "timestamp") for one in data.get("events") or ()]
    by_time = sorted(moments, key=read_time) or [""]
    begins, ends = read_text(data, "window_start"), read_text(data, "window_end")
    return begins or by_time[0] or ends, ends or by_time[-1] or begins


def list_types(data: Mapping[str, Any]) -> list[str]:
    """Return the types of what happened to a flow, each once, from its events and its window's counts."""
    happened = [one["type"] for one in data.get("events") or []]
    happened += [type for name, type in HAPPENED.items() if data.get(name)]
    return list(dict.fromkeys(happened)) or ["TYPE_UNKNOWN"]


def read_connection_type(data: Mapping[str, Any]) -> str:
    """Return P2P or ROUTED: the flow's own value, or else P2P if both ends are peers."""
    ends = {read_text(data, "source", "type"), read_text(data, "destination", "type")}
    return read_text(data, "connection_type") or ("P2P" if ends == {"PEER"} else "ROUTED")


def name_protocol(data: Mapping[str, Any]) -> str:
    """Return the protocol's name, or its number if we have no name."""
    return PROTOCOLS.get(data["protocol"], str(data["protocol"]))


def name_end(data: Mapping[str, Any], side: str) -> str:
    """Return the name of an end for people."""
    return read_text(data, side, "name") or read_text(data, side, "address") or read_text(data, side, "id") or "?"


def show_endpoint(end: Mapping[str, Any]) -> dict[str, Any]:
    """Return an end with all fields that NetBird's API returns."""
    place = end.get("geo_location") or {}
    return {
        **end,
        **{name: read_text(end, name) for name in ("id", "name", "address")},
        "type": read_text(end, "type") or "UNKNOWN",
        "geo_location": {**place, **{name: read_text(place, name) for name in ("city_name", "country_code")}},
        "os": end.get("os"),
        "dns_label": end.get("dns_label"),
    }
