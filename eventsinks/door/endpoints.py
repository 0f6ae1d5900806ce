"""Endpoints: the paths at which events come in, and what each needs and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rest_framework.response import Response

from eventsinks.api.netbird import events as netbird
from eventsinks.api.v1 import detection_alert_intake as v1
from eventsinks.event_types import EventType, event_type
from eventsinks.intake.accept import Acceptance
from eventsinks.models import Tenant


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: the event type that it takes in, the scope of its keys, and its answers to one and to many."""

    event_type: EventType
    scope: str
    show_one: Callable[[Tenant, Acceptance], Any]
    show_many: Callable[[Acceptance], Response]


def make_netbird_endpoint(key: str) -> Endpoint:
    """Return the endpoint of an event type under /api/events."""

    def show_one(tenant: Tenant, acceptance: Acceptance) -> Any:
        return netbird.show_one(tenant, acceptance, key)

    return Endpoint(event_type(key), "event:write", show_one, netbird.show_counts)


ENDPOINTS = {
    "/v1/detection_alert": Endpoint(
        event_type("detection_alert"), "detection_alert:write", v1.show_alert, v1.show_counts
    ),
    "/api/events/audit": make_netbird_endpoint("audit"),
    "/api/events/network-traffic": make_netbird_endpoint("network_traffic"),
    "/api/events/proxy": make_netbird_endpoint("proxy"),
}
