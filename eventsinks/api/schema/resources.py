"""The resources of the API: each with its tag and its description in the schema."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """A resource, and its words in the schema."""

    tag: str
    description: str


RESOURCES = {
    "detection_alert": Resource(
        "Detection alerts",
        "Send alerts, and see where each went and why. A 200 means that they are committed.",
    ),
    "event_sink": Resource(
        "Event sinks", "Destinations that get each alert at once, in the format of Scanner's API."
    ),
    "delivery": Resource("Deliveries", "One event that one event sink must get, with its attempts."),
    "replay": Resource("Replays", "Jobs that give deliveries a fresh set of tries."),
    "silence": Resource("Silences", "A silence holds alerts back for a time, and has a reason."),
    "slack_integration": Resource("Slack integrations", "Slack workspaces in which the app is installed."),
    "usage": Resource("Usage", "The limits of a tenant, and what it uses of each."),
    "tenant": Resource("Tenants", "Organisations, which own everything else. For operators."),
    "api_key": Resource("API keys", "The keys with which tenants use the API. For operators."),
    "integration": Resource(
        "Integrations", "Destinations that get events in batches or one by one, in the format of NetBird's API."
    ),
    "audit_event": Resource("Audit events", "What somebody did, in the format of NetBird's API."),
    "network_traffic_event": Resource("Network traffic", "Flows between peers, in the format of NetBird's API."),
    "proxy_event": Resource(
        "Proxy access", "Requests that NetBird's reverse proxy served, in the format of its API."
    ),
    "health": Resource("Health", "Whether the server lives and can work, and its metrics. Without a key."),
}
