"""What a destination type is: it builds a request from messages and reads what the answer means.

A type knows no tenant and no database; the engine owns the exchange. Adding one is one new file beside this
package and its test (docs/adding-a-destination.md).
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
    """What came of one request. No failure: every message was taken. A partial failure is data.

    `memory` is what a type that `remembers` wants to know again when the same incident is next told of; `stored`
    are the objects that a type that `keeps_manifests` has made of what was taken.
    """

    response: Response | None = None
    failures: Mapping[UUID, SendFailure] | None = None
    memory: Mapping[str, Any] | None = None
    stored: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one request may hold, and how many seconds to wait for more before sending less.

    `max_requests` is how many requests of one batch are sent at once, where a request can't hold it all.
    `max_event_bytes` is the most that one event may have; a larger one becomes a dead letter.
    """

    max_events: int = 1
    max_bytes: int = 16 * 1024 * 1024
    max_event_bytes: int = 16 * 1024 * 1024
    max_requests: int = 1
    linger: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """The events of one request of an integration, the same over every try.

    `id` and `number` are the same too; numbers count up by one per integration, so that a gap can be seen.
    """

    id: UUID
    number: int
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class HourManifest:
    """What became of the batches that were settled in one hour, from number `first` to `last` without a gap.

    `objects` are those that were `stored`, each with its batch's number and id; the other numbers left nothing
    behind. The same over every try; `id` is the last batch's.
    """

    id: UUID
    integration: UUID
    hour: datetime
    first: int
    last: int
    objects: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services are: fixed by their vendors, moved by the operator only.

    `smtp` is the operator's mail server, empty if there is none. Its credentials stay with the way out.
    """

    slack: str = "https://slack.com/api/"
    pagerduty: str = "https://events.pagerduty.com/v2/enqueue"
    aws: str | None = None
    smtp: str = "smtp://localhost:25"
    smtp_from: str = "eventsinks@localhost"


class DestinationType(ABC, Generic[ConfigT]):
    """The code that can talk to one service, with one configuration.

    `signing_keys` are the tenant's keys for this destination, newest first: types that sign use all of them.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    face: ClassVar[Literal["event_sink", "integration"]]
    Config: ClassVar[type[Config]]
    example: ClassVar[Mapping[str, Any]] = {}  # a config that stands in where no secret is to be opened
    answers: ClassVar[Answers] = Answers()  # what the service's answers mean
    limits: BatchLimits = BatchLimits()  # ask the instance: they may depend on its configuration
    usual_mapping: str = "as_accepted"  # the shape of its events, unless one is asked for; ask the instance, too
    connects: ClassVar[bool] = False  # whether `connect` is to be called before a config is stored
    # Whether a message is to bring what was remembered of its incident. Such a type must have a `rate_interval`,
    # so that its messages go one after the other.
    remembers: ClassVar[bool] = False
    rate_interval: ClassVar[float] = 0.0  # seconds between two messages with one rate key; 0: no such limit
    keeps_manifests: ClassVar[bool] = False  # whether it may want to be told what it stored in an hour
    signs: ClassVar[bool] = False  # whether it signs what it sends with `signing_keys`

    def __init__(
        self, config: ConfigT, signing_keys: Sequence[bytes] = (), endpoints: Endpoints = Endpoints()
    ) -> None:
        self.config = config
        self.signing_keys = signing_keys
        self.endpoints = endpoints

    @abstractmethod
    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the request that carries `messages`; `at` is the time of this try. Pure.

        Raises EventRefused for a message that can never be sent.
        """

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Say what `response` means for each of `messages`. Raises SendFailure where it means all of them."""
        if self.answers.meaning(response) is not Meaning.TAKEN:
            raise self.answers.failure(response, len(messages))
        return Receipt(response)

    def then(self, message: Message, request: Request, response: Response) -> Request | None:
        """Return the request that must follow `request` in the same try, None if `response` ends it.

        At most MAX_REQUESTS are made in one try; the last response is the one that is read.
        """
        asks_for_words = self.answers.meaning(response) in (Meaning.PLAINER, Meaning.UNLISTED)
        return self.in_words(message, request) if asks_for_words else None

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return `request` with the message in plain words; None where it is that already, or there are none.

        An alert must arrive, also where the service does not like how it is laid out.
        """
        return None

    def connect(self) -> ConfigT:
        """Return the config to store, after a short look at the service. What can't be asked is kept as it is.

        Raises NotConnected.
        """
        return self.config

    def rate_key(self) -> str:
        """Return what the rate interval is the limit of; destinations with the same key share it."""
        return ""

    @cached_property
    def redactor(self) -> Redactor:
        """What masks its secrets in the texts of others. Made when there is the first of them."""
        signing = [b64encode(key).decode() for key in self.signing_keys]
        return Redactor([*self.config.secret_texts(), *self.signing_keys, *signing])

    def target(self) -> str:
        """Return where it goes in a few words, for a list: `#security-alerts`, `example.com`."""
        return self.label


class ClientType(DestinationType[ConfigT]):
    """A destination type whose vendor's own client makes the exchange (boto3: signing, credentials, retries).

    `guard` judges every address that an endpoint of the tenant's choosing resolves to, when it is dialled.
    `seconds` is how long a sending may take: when it is over, another worker may begin the same one.
    """

    guard: AddressGuard | None = None
    seconds: float = 40.0

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Refuse: what goes over the wire is the client's business."""
        raise NotImplementedError(f"{self.key} is sent by its vendor's client")

    @abstractmethod
    def send(self, batch: MessageBatch, at: datetime) -> Receipt:
        """Send the batch and say what came of it. Raises SendFailure where it means all of it."""

    def write_manifest(self, manifest: HourManifest) -> None:
        """Write down what was stored in an hour, unless the configuration wants none. Raises SendFailure."""


AnyDestinationType = DestinationType[Any]
