"""What is remembered."""

from eventsinks.models.attempt import Attempt
from eventsinks.models.delivery import Delivery
from eventsinks.models.destination import Destination, EventSink, Integration
from eventsinks.models.event import Event
from eventsinks.models.network_traffic import NetworkTraffic
from eventsinks.models.slack_workspace import SlackWorkspace
from eventsinks.models.stream import Batch, Position
from eventsinks.models.tenant import SCOPES, ApiKey, Tenant

# The tables beside the log, by which events of a type are looked for: written with the event.
INDEXES = {"network_traffic": NetworkTraffic}

__all__ = [
    "INDEXES",
    "SCOPES",
    "ApiKey",
    "Attempt",
    "Batch",
    "Delivery",
    "Destination",
    "Event",
    "EventSink",
    "Integration",
    "NetworkTraffic",
    "Position",
    "SlackWorkspace",
    "Tenant",
]
