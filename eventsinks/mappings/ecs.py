"""ECS, the Elastic Common Schema: https://www.elastic.co/docs/reference/ecs.

Fields that ECS does not have go under `eventsinks`, a name that ECS does not use.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from eventsinks.event_types import EventType
from eventsinks.event_types.alert_template import NOTHING_TOLD
from eventsinks.event_types.audit import describe_activity
from eventsinks.event_types.documents import read_text, split_address, write_time
from eventsinks.event_types.network_traffic import COUNTERS, PROTOCOLS, list_types
from eventsinks.mappings.base import (
    Document,
    EventMapping,
    add_counters,
    find_attacks,
    list_left,
    prune,
    read_flow,
    read_span,
)
from eventsinks.mappings.ecs_proxy import map_access
from eventsinks.mappings.ocsf import SEVERITIES, find_ip_version
from eventsinks.mappings.ocsf_audit import ACCOUNT_CHANGES, LOGONS

VERSION = "8.11.0"
FLOWS = {
    "TYPE_START": ("flow-start", "start"),
    "TYPE_END": ("flow-end", "end"),
    "TYPE_DROP": ("flow-drop", "denied"),
}
# the verb of an activity code: what ECS calls such a change
VERBS = {"add": "creation", "create": "creation", "join": "creation", "invite": "creation"}
VERBS |= {"delete": "deletion", "revoke": "deletion"}
# The parts of a flow that have a field. An end's id, type and name have none.
TAKEN = (
    *("id", "protocol", "direction", "reporter_id", "window_start", "window_end", *COUNTERS),
    *(f"source.{name}" for name in ("address", "geo_location", "dns_label")),
    *(f"destination.{name}" for name in ("address", "geo_location", "dns_label")),
    *("user.id", "user.name", "user.email", "policy.id", "policy.name"),
)
# beginnings of activity codes about who may do what
IAM = ("user", "group", "service.user", "account", "personal", "transferred", "identityprovider", "peer.user")


class Ecs(EventMapping):
    """The Elastic Common Schema."""

    key: ClassVar[str] = "ecs"
    label: ClassVar[str] = "Elastic Common Schema"
    version: ClassVar[str] = VERSION

    def mapped(self, event_type: EventType, document: Document, occurred_at: datetime) -> dict[str, Any]:
        """Return an event in ECS. An event of a type unknown to ECS has its title and itself."""
        if event_type.key == "detection_alert":
            found = map_alert(event_type, document)
        elif event_type.key == "network_traffic":
            found = map_traffic(document)
        elif event_type.key == "audit":
            found = map_audit(document)
        elif event_type.key == "proxy":
            found = map_access(document)
        else:
            found = {"message": event_type.summary(document).title, "event": {"kind": "event"}}
            found["rest"] = dict(document)
        found["event"] |= {
            "id": read_text(document, "id"),
            "module": "eventsinks",
            "dataset": f"eventsinks.{event_type.key}",
        }
        rest = found.pop("rest")
        kept = {"eventsinks": {event_type.key: rest}} if rest else {}
        return {"@timestamp": write_time(occurred_at), "ecs": {"version": VERSION}, **prune(found), **kept}


def map_alert(event_type: EventType, document: Document) -> dict[str, Any]:
    """Return an alert in ECS."""
    summary = event_type.summary(document, NOTHING_TOLD)
    found = find_attacks(document)
    tactics = [attack for attack in found if attack.is_tactic]
    techniques = [attack for attack in found if not attack.is_tactic]
    taken = ("id", "name", "description", "status", "severity_id", "tags", "detection_rule_id", "timestamp")
    return {
        "message": summary.title,
        "event": {
            "kind": "alert",
            "category": ["intrusion_detection"],
            "type": ["info"],
            "action": f"alert-{summary.status}",
            "severity": SEVERITIES.get(summary.severity, 99),
            "url": summary.link,
        },
        "rule": {
            "id": read_text(document, "detection_rule_id"),
            "name": summary.title,
            "description": summary.text,
        },
        "threat": {
            "framework": "MITRE ATT&CK" if found else "",
            "tactic": {"id": [a.id for a in tactics], "name": [a.name for a in tactics if a.name]},
            "technique": {"id": [a.id for a in techniques], "name": [a.name for a in techniques if a.name]},
        },
        "tags": list(summary.tags),
        "rest": list_left(document, "View in Scanner", *taken),
    }


def map_audit(document: Document) -> dict[str, Any]:
    """Return an audit event in ECS."""
    code, target = read_text(document, "activity_code"), read_text(document, "target_id")
    verb = VERBS.get(code.rpartition(".")[2], "change")
    if code in LOGONS:
        category, types = "authentication", ["start"]
    elif code.startswith(IAM):
        category, types = "iam", [*(["user"] if code in ACCOUNT_CHANGES else []), verb]
    else:
        category, types = "configuration", [verb]
    user = {name: read_text(document, f"initiator_{name}") for name in ("id", "name", "email")}
    known = [user["id"], user["name"], target if code in ACCOUNT_CHANGES else ""]
    taken = ("id", "timestamp", "activity", "activity_code", *(f"initiator_{name}" for name in user))
    return {
        "message": describe_activity(document),
        "event": {"kind": "event", "category": [category], "type": types, "action": code, "outcome": "success"},
        "user": {**user, "target": {"id": target} if code in ACCOUNT_CHANGES else {}},
        "related": {"user": [name for name in dict.fromkeys(known) if name]},
        "rest": list_left(document, *taken),
    }


def map_traffic(document: Document) -> dict[str, Any]:
    """Return a flow in ECS."""
    counted = read_flow(document)
    happened = [FLOWS[type] for type in list_types(document) if type in FLOWS]
    start, end = read_span(document)
    source = map_side(document, "source", counted.bytes_sent, counted.packets_sent)
    destination = map_side(document, "destination", counted.bytes_answered, counted.packets_answered)
    version = find_ip_version(source["address"])
    return {
        "message": f"{source['address']} → {destination['address']}",
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": ["connection", *dict.fromkeys(type for _, type in happened)],
            "action": happened[-1][0] if happened else "flow",
            "start": start,
            "end": end,
        },
        "source": source,
        "destination": destination,
        "network": {
            "transport": PROTOCOLS.get(document.get("protocol", -1)),
            "iana_number": read_text(document, "protocol"),
            "type": f"ipv{version}" if version else "",
            "direction": read_text(document, "direction").lower().removeprefix("direction_"),
            "bytes": add_counters(counted.bytes_sent, counted.bytes_answered),
            "packets": add_counters(counted.packets_sent, counted.packets_answered),
        },
        "user": {name: read_text(document, "user", name) for name in ("id", "name", "email")},
        "rule": {name: read_text(document, "policy", name) for name in ("id", "name")},
        "observer": {"vendor": "NetBird", "name": read_text(document, "reporter_id")},
        "related": {"ip": [end["ip"] for end in (source, destination) if end["ip"]]},
        "rest": list_left(document, *TAKEN),
    }


def map_side(document: Document, name: str, size: int, packets: int) -> dict[str, Any]:
    """Return one end, and what it sent."""
    host, port = split_address(read_text(document, name, "address"))
    return {
        "address": host,
        "ip": host if find_ip_version(host) else "",
        "port": port,
        "domain": read_text(document, name, "dns_label"),
        "bytes": size,
        "packets": packets,
        "geo": {
            "city_name": read_text(document, name, "geo_location", "city_name"),
            "country_iso_code": read_text(document, name, "geo_location", "country_code"),
        },
    }
