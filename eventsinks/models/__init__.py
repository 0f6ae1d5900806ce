"""Models: what is stored in the database."""

from eventsinks.models.attempt import Attempt
from eventsinks.models.clearing import Clearing
from eventsinks.models.counting import AuditMark, Count, CountDelta, Finding
from eventsinks.models.delivery import Delivery
from eventsinks.models.destination import Destination, EventSink, Integration
from eventsinks.models.event import Event
from eventsinks.models.incident import Incident
from eventsinks.models.quiet_window import QuietWindow
from eventsinks.models.replay import Replay
from eventsinks.models.retention import RetentionWalk
from eventsinks.models.routing import Routing
from eventsinks.models.search.alert_words import AlertWords
from eventsinks.models.search.progress import SearchProgress
from eventsinks.models.secrets.sealing import Canary
from eventsinks.models.silence import Silence
from eventsinks.models.slack_workspace import SlackInstall, SlackWorkspace
from eventsinks.models.stream import Batch, Position
from eventsinks.models.tenant import SCOPES, ApiKey, Tenant
from eventsinks.models.traffic.network_traffic import NetworkTraffic, write_flows
from eventsinks.models.traffic.proxy_access import ProxyAccess, write_accesses
from eventsinks.models.traffic.traffic_term import TrafficTerm

# The functions that write an event type's search table, together with the event.
INDEXES = {"network_traffic": write_flows, "proxy": write_accesses}

__all__ = [
    "INDEXES",
    "SCOPES",
    "AlertWords",
    "ApiKey",
    "Attempt",
    "AuditMark",
    "Batch",
    "Canary",
    "Clearing",
    "Count",
    "CountDelta",
    "Delivery",
    "Destination",
    "Event",
    "EventSink",
    "Finding",
    "Incident",
    "Integration",
    "NetworkTraffic",
    "Position",
    "ProxyAccess",
    "QuietWindow",
    "Replay",
    "RetentionWalk",
    "Routing",
    "SearchProgress",
    "Silence",
    "SlackInstall",
    "SlackWorkspace",
    "Tenant",
    "TrafficTerm",
]
