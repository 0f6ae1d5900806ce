"""What the API is about, as the schema lists it: each resource with its tag, and what is told of it."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """A thing that can be asked for, and its words."""

    tag: str
    description: str


RESOURCES = {
    "detection_alert": Resource(
        "Detection alerts", "Send alerts, and see what became of each and why. Answered 200, they are committed."
    ),
    "event_sink": Resource("Event sinks", "Where detection alerts go, one by one: the format of Scanner's API."),
    "delivery": Resource("Deliveries", "One alert owed to one event sink, with its attempts."),
    "replay": Resource("Replays", "Jobs that give deliveries a fresh set of tries."),
    "silence": Resource("Silences", "Alerts held back for a time and a reason."),
    "slack_integration": Resource("Slack integrations", "Slack workspaces in which the app is installed."),
    "usage": Resource("Usage", "The limits of a tenant, and what it uses of each."),
    "tenant": Resource("Tenants", "Organisations, which own everything else. For operators."),
    "api_key": Resource("API keys", "What opens the API for a tenant. For operators."),
    "integration": Resource(
        "Integrations", "Where events stream to, in batches or one by one: the format of NetBird's API."
    ),
    "audit_event": Resource("Audit events", "What somebody did; taken in, and read as NetBird's API has them."),
    "network_traffic_event": Resource("Network traffic", "Flows; taken in, and read as NetBird's API has them."),
    "proxy_event": Resource(
        "Proxy access", "Requests that NetBird's reverse proxy served; taken in, and read as its API has them."
    ),
    "health": Resource("Health", "Whether the server lives and can work, and its metrics. Without a key."),
}
