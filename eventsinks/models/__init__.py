"""What is remembered."""

from eventsinks.models.attempt import Attempt
from eventsinks.models.delivery import Delivery
from eventsinks.models.destination import Destination, EventSink, Integration
from eventsinks.models.event import Event
from eventsinks.models.slack_workspace import SlackWorkspace
from eventsinks.models.tenant import SCOPES, ApiKey, Tenant

__all__ = [
    "SCOPES",
    "ApiKey",
    "Attempt",
    "Delivery",
    "Destination",
    "Event",
    "EventSink",
    "Integration",
    "SlackWorkspace",
    "Tenant",
]
