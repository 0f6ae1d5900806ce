"""The contract of a destination type: it builds a request from messages, and reads the meaning of the answer.

A type knows no tenant and no database. The engine makes the exchange. A new type is one new file beside this
package, and its test (docs/adding-a-destination.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, NamedTuple
from uuid import UUID

from eventsinks.destinations.base.answers import Answers, Meaning
from eventsinks.destinations.base.config import Config, ConfigT
from eventsinks.destinations.base.failure import SendFailure
from eventsinks.destinations.base.message import Message
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.wire import Request, Response
from eventsinks.lib.secrets.redact import Redactor

MAX_REQUESTS = 4  # of one try


class Receipt(NamedTuple):
    """The result of one request. Without failures, every message was accepted. A partial failure is data.

    If a type `remembers`, the next message of the same incident brings `memory` back. If a type `keeps_manifests`,
    `stored` are the objects that it has written.
    """

    response: Response | None = None
    failures: Mapping[UUID, SendFailure] | None = None
    memory: Mapping[str, Any] | None = None
    stored: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of one request. `linger` is how many seconds a smaller request waits for more events.

    `max_requests` is how many requests of one batch are sent at once, if one request can't hold the batch.
    `max_event_bytes` is the size limit of one event. A larger event becomes a dead letter.
    """

    max_events: int = 1
    max_bytes: int = 16 * 1024 * 1024
    max_event_bytes: int = 16 * 1024 * 1024
    max_requests: int = 1
    linger: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """The events of one request of an integration. They are the same in every try.

    So are `id` and `number`. The numbers of an integration count up by one, so that a gap can be seen.
    """

    id: UUID
    number: int
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class HourManifest:
    """The batches that were settled in one hour, from number `first` to `last` without a gap.

    `objects` are the stored objects, each with the number and the id of its batch. The other batches stored
    nothing. A manifest is the same in every try. Its `id` is that of the last batch.
    """

    id: UUID
    integration: UUID
    hour: datetime
    first: int
    last: int
    objects: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of the services. Vendors fix them, and only the operator can change them.

    `smtp` is the operator's mail server, empty if there is none. It has no credentials: `lib/net` adds them.
    """

    slack: str = "https://slack.com/api/"
    pagerduty: str = "https://events.pagerduty.com/v2/enqueue"
    aws: str | None = None
    smtp: str = "smtp://localhost:25"
    smtp_from: str = "eventsinks@localhost"


class DestinationType(ABC, Generic[ConfigT]):
    """The code that can talk to one service, with one configuration.

    `signing_keys` are the tenant's keys for this destination, newest first. A type that signs uses all of them.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    face: ClassVar[Literal["event_sink", "integration"]]
    Config: ClassVar[type[Config]]
    example: ClassVar[Mapping[str, Any]] = {}  # a config for previews, which open no secret
    answers: ClassVar[Answers] = Answers()  # the meanings of the service's answers
    limits: BatchLimits = BatchLimits()  # read them on the instance: they may depend on its configuration
    usual_mapping: str = "as_accepted"  # the default shape of its events; read it on the instance, too
    connects: ClassVar[bool] = False  # whether `connect` is called before a config is stored
    # Whether a message brings the memory of its incident. Such a type must have a `rate_interval`, so that its
    # messages go one after the other.
    remembers: ClassVar[bool] = False
    rate_interval: ClassVar[float] = 0.0  # seconds between two messages with one rate key; 0 means no limit
    keeps_manifests: ClassVar[bool] = False  # whether it writes a manifest of each hour
    signs: ClassVar[bool] = False  # whether it signs its requests with `signing_keys`

    @classmethod
    def write_policy(cls, config: Mapping[str, Any]) -> str:
        """Return the least IAM policy for the credentials of such a config, "" for other services.

        Only the fields are read that no GET masks; what is not known yet is named in capitals.
        """
        return ""

    def __init__(
        self, config: ConfigT, signing_keys: Sequence[bytes] = (), endpoints: Endpoints = Endpoints()
    ) -> None:
        self.config = config
        self.signing_keys = signing_keys
        self.endpoints = endpoints

    @abstractmethod
    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the request with `messages`. `at` is the time of this try. The function is pure.

        Raises EventRefused for a message that can never be sent.
        """

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the meaning of `response` for each of `messages`. Raises SendFailure if all of them failed."""
        if self.answers.meaning(response) is not Meaning.TAKEN:
            raise self.answers.failure(response, len(messages))
        return Receipt(response)

    def then(self, message: Message, request: Request, response: Response) -> Request | None:
        """Return the request that must follow `request` in the same try. Return None if `response` is the last.

        One try makes at most MAX_REQUESTS requests. `read` gets the last response.
        """
        asks_for_words = self.answers.meaning(response) in (Meaning.PLAINER, Meaning.UNLISTED)
        return self.in_words(message, request) if asks_for_words else None

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return `request` with the message in plain words. Return None if it is plain already, or can't be.

        An alert must arrive, even if the service refuses its layout.
        """
        return None

    def connect(self) -> ConfigT:
        """Return the config to store, after a short look at the service. If it can't be asked, the config stays.

        Raises NotConnected.
        """
        return self.config

    def rate_key(self) -> str:
        """Return the key that the rate interval is for. Destinations with the same key share it."""
        return ""

    @cached_property
    def redactor(self) -> Redactor:
        """The tool that masks its secrets in foreign texts. It is made when it is first needed."""
        signing = [b64encode(key).decode() for key in self.signing_keys]
        return Redactor([*self.config.secret_texts(), *self.signing_keys, *signing])

    def target(self) -> str:
        """Return the target in a few words, for a list: `#security-alerts`, `example.com`."""
        return self.label


class ClientType(DestinationType[ConfigT]):
    """A destination type whose vendor's own client makes the exchange (boto3: signing, credentials, retries).

    `guard` checks every address of a tenant's own endpoint when it is dialled. `seconds` is how long one sending
    may take. After that, another worker may begin the same one.
    """

    guard: AddressGuard | None = None
    seconds: float = 40.0

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Refuse, because the client builds the requests."""
        raise NotImplementedError(f"{self.key} is sent by its vendor's client")

    @abstractmethod
    def send(self, batch: MessageBatch, at: datetime) -> Receipt:
        """Send the batch and return the result. Raises SendFailure if the whole batch failed."""

    def write_manifest(self, manifest: HourManifest) -> None:
        """Write the manifest of an hour, unless the configuration wants none. Raises SendFailure."""


AnyDestinationType = DestinationType[Any]
