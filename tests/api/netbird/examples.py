"""What the tests of /api send: an audit event and a flow, as NetBird's page shows them."""

from __future__ import annotations

from typing import Any

import orjson

from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept

AUDIT: dict[str, Any] = {
    "id": "10",
    "timestamp": "2023-05-05T10:04:37.473542Z",
    "activity": "Route created",
    "activity_code": "route.add",
    "initiator_id": "google-oauth2|123456789012345678901",
    "initiator_name": "John Doe",
    "initiator_email": "demo@netbird.io",
    "target_id": "chad9d86lnnc59g18ou0",
    "meta": {"name": "my route", "network_range": "10.64.0.0/24", "peer_id": "chacbco6lnnbn6cg5s91"},
}
END = {
    "id": "ch8i4ug6lnn4g9hqv7m0",
    "type": "PEER",
    "name": "My Peer",
    "geo_location": {"city_name": "Berlin", "country_code": "DE"},
    "os": "Linux",
    "address": "100.64.0.10:51820",
    "dns_label": "*.mydomain.com",
}
FLOW: dict[str, Any] = {
    "id": "f-1",
    "flow_id": "61092452-b17c-4b14-b7cf-a2158c549826",
    "reporter_id": "ch8i4ug6lnn4g9hqv7m0",
    "source": END,
    "destination": END,
    "user": {"id": "google-oauth2|123456789012345678901", "email": "alice@netbird.io", "name": "Alice Smith"},
    "policy": {"id": "ch8i4ug6lnn4g9hqv7m0", "name": "All to All"},
    "icmp": {"type": 8, "code": 0},
    "protocol": 6,
    "direction": "INGRESS",
    "rx_bytes": 1234,
    "rx_packets": 5,
    "tx_bytes": 1234,
    "tx_packets": 5,
    "events": [{"type": "TYPE_START", "timestamp": "2026-01-01T00:00:00Z"}],
}
PROXY = event_type("proxy").examples[1]


def take(tenant, type, example, changes):
    """Accept one event for each of `changes`."""
    documents = [orjson.dumps({**example, **change}) for change in changes]
    taken = accept(tenant, event_type(type), documents)
    assert not taken.rejections, taken.rejections
    return taken


def take_audit(tenant, *changes):
    """Accept audit events of `tenant`."""
    return take(tenant, "audit", AUDIT, changes)


def take_traffic(tenant, *changes):
    """Accept flows of `tenant`."""
    return take(tenant, "network_traffic", FLOW, changes)
