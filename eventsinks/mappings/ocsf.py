"""OCSF: https://schema.ocsf.io. Fields that the class does not have go into `unmapped`.

An alert is a Detection Finding (2004), a flow Network Activity (4001), an audit event Account Change (3001),
Authentication (3002) or Entity Management (3004).
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any, ClassVar

from eventsinks.event_types import EventType
from eventsinks.event_types.audit import describe_activity
from eventsinks.event_types.documents import read_text, split_address
from eventsinks.event_types.network_traffic import COUNTERS, PROTOCOLS, list_types
from eventsinks.mappings.base import (
    Document,
    EventMapping,
    add_counters,
    find_attacks,
    list_left,
    prune,
    read_flow,
    read_moment,
    read_span,
    write_milliseconds,
)
from eventsinks.mappings.ocsf_audit import choose_class
from eventsinks.mappings.ocsf_proxy import map_http_activity

VERSION = "1.3.0"
SEVERITIES = {"Unknown": 0, "Informational": 1, "Low": 2, "Medium": 3, "High": 4, "Critical": 5, "Fatal": 6}
# status: (activity_id, its name, status_id, its name)
STATUSES = {
    "firing": (1, "Create", 1, "New"),
    "acknowledged": (2, "Update", 2, "In Progress"),
    "resolved": (3, "Close", 4, "Resolved"),
}
# what happened to a flow: (activity_id, its name)
FLOWS = {"TYPE_DROP": (5, "Refuse"), "TYPE_END": (2, "Close"), "TYPE_START": (1, "Open")}
DIRECTIONS = {"INGRESS": (1, "Inbound"), "EGRESS": (2, "Outbound")}
USER = {"uid": "id", "name": "name", "email_addr": "email"}
# The parts of a flow that have a field.
TAKEN = (
    *("id", "flow_id", "protocol", "direction", "window_start", "window_end", *COUNTERS),
    *(f"source.{name}" for name in ("id", "type", "name", "address", "geo_location", "dns_label")),
    *(f"destination.{name}" for name in ("id", "type", "name", "address", "geo_location", "dns_label")),
    *("user.id", "user.name", "user.email", "policy.id", "policy.name"),
)


class Ocsf(EventMapping):
    """The Open Cybersecurity Schema Framework."""

    key: ClassVar[str] = "ocsf"
    label: ClassVar[str] = "OCSF"
    version: ClassVar[str] = VERSION

    def mapped(self, event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
        """Return an event in OCSF. A type without a class here becomes a Base Event."""
        if event_type.key == "detection_alert":
            found = map_detection_finding(event_type, document)
        elif event_type.key == "network_traffic":
            found = map_network_activity(document)
        elif event_type.key == "audit":
            found = map_account_or_entity(document)
        elif event_type.key == "proxy":
            found = map_http_activity(document)
        else:
            found = {"class_uid": 0, "class_name": "Base Event", "category_uid": 0, "activity_id": 99}
            found |= {"activity_name": event_type.key, "severity_id": 0, "rest": dict(document)}
        metadata = {
            "version": VERSION,
            "product": {"name": "eventsinks", "vendor_name": "eventsinks"},
            "log_name": event_type.key,
            "uid": read_text(document, "id"),
            **found.pop("metadata", {}),
        }
        rest = found.pop("rest")
        return {
            "metadata": prune(metadata),
            "time": write_milliseconds(occurred_at),
            "type_uid": found["class_uid"] * 100 + found["activity_id"],
            **prune(found),
            **({"unmapped": rest} if rest else {}),
        }


def map_detection_finding(event_type: EventType, document: Document) -> dict[str, Any]:
    """Return an alert as a Detection Finding."""
    summary = event_type.summary(document)
    activity_id, activity_name, status_id, status = STATUSES.get(summary.status, STATUSES["firing"])
    taken = (
        *("id", "name", "description", "severity", "severity_id", "status", "tags", "dedup_key"),
        *("detection_rule_id", "timestamp", "View in Scanner"),
    )
    return {
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "activity_id": activity_id,
        "activity_name": activity_name,
        "severity_id": SEVERITIES.get(summary.severity, 99),
        "severity": summary.severity,
        "status_id": status_id,
        "status": status,
        "message": summary.title,
        "finding_info": {
            "uid": summary.dedup_key,
            "title": summary.title,
            "desc": summary.text,
            "src_url": summary.link,
            "analytic": {"type_id": 1, "type": "Rule", "uid": read_text(document, "detection_rule_id")},
            "attacks": [
                {"tactic" if attack.is_tactic else "technique": prune({"uid": attack.id, "name": attack.name})}
                for attack in find_attacks(document)
            ],
        },
        "metadata": {"labels": list(summary.tags)} if summary.tags else {},
        "rest": list_left(document, *taken),
    }


def map_network_activity(document: Document) -> dict[str, Any]:
    """Return a flow as Network Activity."""
    happened = list_types(document)
    dropped = "TYPE_DROP" in happened
    activity_id, activity_name = next((FLOWS[type] for type in FLOWS if type in happened), (6, "Traffic"))
    start, end = map(read_moment, read_span(document))
    user = {name: read_text(document, "user", key) for name, key in USER.items()}
    return {
        "category_uid": 4,
        "category_name": "Network Activity",
        "class_uid": 4001,
        "class_name": "Network Activity",
        "activity_id": activity_id,
        "activity_name": activity_name,
        "severity_id": 1,
        "severity": "Informational",
        "action_id": 2 if dropped else 1,
        "action": "Denied" if dropped else "Allowed",
        "disposition_id": 2 if dropped else 1,
        "disposition": "Blocked" if dropped else "Allowed",
        "start_time": write_milliseconds(start) if start else None,
        "end_time": write_milliseconds(end) if end else None,
        "src_endpoint": {**map_endpoint(document, "source"), "owner": user},
        "dst_endpoint": map_endpoint(document, "destination"),
        "connection_info": map_connection(document),
        "traffic": map_traffic(document),
        "policy": {"uid": read_text(document, "policy", "id"), "name": read_text(document, "policy", "name")},
        "metadata": {"profiles": ["security_control"]},
        "rest": list_left(document, *TAKEN),
    }


def map_endpoint(document: Document, side: str) -> dict[str, Any]:
    """Return one end."""
    host, port = split_address(read_text(document, side, "address"))
    return {
        "uid": read_text(document, side, "id"),
        "name": read_text(document, side, "name"),
        "type": read_text(document, side, "type"),
        "ip" if find_ip_version(host) else "hostname": host,
        "port": port,
        "domain": read_text(document, side, "dns_label"),
        "location": {
            "city": read_text(document, side, "geo_location", "city_name"),
            "country": read_text(document, side, "geo_location", "country_code"),
        },
    }


def map_connection(document: Document) -> dict[str, Any]:
    """Return the connection of a flow."""
    direction_id, direction = DIRECTIONS.get(read_text(document, "direction"), (0, "Unknown"))
    host, _ = split_address(read_text(document, "source", "address"))
    return {
        "uid": read_text(document, "flow_id"),
        "protocol_num": document.get("protocol"),
        "protocol_name": PROTOCOLS.get(document.get("protocol", -1)),
        "protocol_ver_id": find_ip_version(host),
        "direction_id": direction_id,
        "direction": direction,
    }


def find_ip_version(host: str) -> int | None:
    """Return 4 or 6 for an IP address, None for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


def map_traffic(document: Document) -> dict[str, Any]:
    """Return the traffic of a flow. Out means from the source to the destination."""
    counted = read_flow(document)
    return {
        "bytes_out": counted.bytes_sent,
        "packets_out": counted.packets_sent,
        "bytes_in": counted.bytes_answered,
        "packets_in": counted.packets_answered,
        "bytes": add_counters(counted.bytes_sent, counted.bytes_answered),
        "packets": add_counters(counted.packets_sent, counted.packets_answered),
    }


def map_account_or_entity(document: Document) -> dict[str, Any]:
    """Return an audit event in its class."""
    actor = {name: read_text(document, f"initiator_{key}") for name, key in USER.items()}
    taken = ("id", "timestamp", "activity", "activity_code", "initiator_id", "initiator_name", "initiator_email")
    return {
        **choose_class(document, actor),
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "severity_id": 1,
        "severity": "Informational",
        "status_id": 1,
        "status": "Success",
        "message": describe_activity(document),
        "actor": {"user": actor},
        "metadata": {"event_code": read_text(document, "activity_code")},
        "rest": list_left(document, "target_id", *taken),
    }
