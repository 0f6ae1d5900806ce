"""The contract of a destination type: its configuration, its messages, how it can fail, and the type itself."""

from eventsinks.destinations.base.answers import Answers, Meaning
from eventsinks.destinations.base.config import (
    MASK,
    NEEDED,
    Absent,
    Config,
    ConfigT,
    PublicUrl,
    Secret,
    SecretUrl,
    unmasked,
)
from eventsinks.destinations.base.contract import (
    MAX_REQUESTS,
    AnyDestinationType,
    Batch,
    ClientType,
    DestinationType,
    Endpoints,
    Limits,
    Manifest,
    Receipt,
)
from eventsinks.destinations.base.failure import (
    MAX_RETRY_AFTER,
    DestinationGone,
    EventRefused,
    NotConnected,
    SendFailure,
    Temporary,
    TooLarge,
    retry_after,
)
from eventsinks.destinations.base.message import Message

__all__ = [
    "MASK",
    "MAX_REQUESTS",
    "MAX_RETRY_AFTER",
    "NEEDED",
    "Absent",
    "Answers",
    "AnyDestinationType",
    "Batch",
    "ClientType",
    "Config",
    "ConfigT",
    "DestinationGone",
    "DestinationType",
    "Endpoints",
    "EventRefused",
    "Limits",
    "Manifest",
    "Meaning",
    "Message",
    "NotConnected",
    "PublicUrl",
    "Receipt",
    "Secret",
    "SecretUrl",
    "SendFailure",
    "Temporary",
    "TooLarge",
    "retry_after",
    "unmasked",
]
