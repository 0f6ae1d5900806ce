"""What a destination type is: it builds a request from messages and reads what the answer means.

A type knows no tenant and no database; the engine owns the exchange. Adding one is one new file here and its test
(docs/adding-a-destination.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
)

from eventsinks.event_types.base import EventType, Summary
from eventsinks.lib.addresses import AddressGuard, parse_url
from eventsinks.lib.wire import Request, Response

MASK = "****"
MAX_RETRY_AFTER = 24 * 3600.0  # seconds; what asks for more is held back this long


def _dump_secret(value: SecretStr, info: SerializationInfo) -> str:
    revealed = bool(info.context and info.context.get("reveal"))
    return value.get_secret_value() if revealed or not value.get_secret_value() else MASK


def _not_a_mask(value: SecretStr) -> SecretStr:
    if value.get_secret_value() == MASK:
        raise ValueError(f"{MASK} stands for a secret that is kept, and there is none here yet")
    return value


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _check_url(url: str, info: ValidationInfo) -> str:
    guard: AddressGuard | None = (info.context or {}).get("guard")
    parse_url(url)
    if guard is not None:
        guard.check_url(url)
    return url


# Dumps as "****": secrecy is a property of the field, declared once.
Secret = Annotated[SecretStr, AfterValidator(_not_a_mask), PlainSerializer(_dump_secret, return_type=str)]
# Goes before a field that may be absent: where every value is a string, "" is how a client takes one away.
Absent = BeforeValidator(_none_if_empty)
# An http(s) URL that does not plainly name an internal place, where the guard is in the validation's context.
PublicUrl = Annotated[str, AfterValidator(_check_url)]


class Config(BaseModel):
    """What a tenant says about one destination. Field names are the names on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def masked(self) -> dict[str, Any]:
        """Return it with every secret as `****`: fit to be shown."""
        return self.model_dump(mode="json", exclude_none=True)

    def revealed(self) -> dict[str, Any]:
        """Return it with its secrets in clear: never to be shown or logged."""
        return self.model_dump(mode="json", exclude_none=True, context={"reveal": True})

    def secrets(self) -> dict[str, Any]:
        """Return the fields that hold a secret, in clear."""
        masked = self.masked()
        return {name: value for name, value in self.revealed().items() if masked.get(name) != value}

    def changed(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return it with `changes`; a `****` in them means "as it was", a None "not any more".

        Raises pydantic.ValidationError.
        """
        merged = unmasked(self.revealed(), {**self.revealed(), **changes})
        kept = {name: value for name, value in merged.items() if value is not None}
        return type(self).model_validate(kept, context={"guard": guard})


def unmasked(before: Any, after: Any) -> Any:
    """Return `after` with every `****` in it replaced by what stood in its place `before`."""
    if after == MASK and isinstance(before, str):
        return before
    if isinstance(after, dict) and isinstance(before, dict):
        return {key: unmasked(before.get(key), value) for key, value in after.items()}
    return after


ConfigT = TypeVar("ConfigT", bound=Config)


class Message:
    """All that a destination type may know of an event. `id` stays the same over every try.

    `mapped` says that the data is no longer as accepted: it is in a schema that its event type knows nothing of.
    """

    def __init__(
        self,
        id: UUID,
        event_type: EventType,
        tenant_id: UUID,
        occurred_at: datetime,
        data: bytes,
        mapped: bool = False,
    ) -> None:
        self.id = id
        self.event_type = event_type
        self.tenant_id = tenant_id
        self.occurred_at = occurred_at
        self.data = data
        self.mapped = mapped

    @cached_property
    def document(self) -> Any:
        """The data, parsed. What must go on to the byte is `data`."""
        return orjson.loads(self.data)

    @cached_property
    def summary(self) -> Summary:
        """The event as a person hears of it."""
        return self.event_type.summary(self.document)


class SendFailure(Exception):
    """A message did not arrive; the subclass says what to do next. `reason` is shown to people.

    SendFailure
     ├─ Temporary         try again, not before `retry_after` seconds if that is given
     │   └─ TooLarge      try again in halves
     ├─ EventRefused      never this event; others may
     └─ DestinationGone   nothing until somebody repairs the destination
    """

    def __init__(self, reason: str, response: Response | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.response = response


class Temporary(SendFailure):
    """Try again. `retry_after` seconds, if the far end said so, hold back the whole destination."""

    def __init__(self, reason: str, response: Response | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, response)
        self.retry_after = retry_after


class TooLarge(Temporary):
    """Try again in halves: the request is too large, or it holds an event that spoils it for the others.

    Means more than one message. Of one alone, it is EventRefused.
    """


class EventRefused(SendFailure):
    """This event will never be taken; others may."""


class DestinationGone(SendFailure):
    """Nothing will be taken until somebody repairs the destination: it is parked."""


class Receipt(NamedTuple):
    """What came of one request. No failure: every message was taken. A partial failure is data."""

    response: Response | None = None
    failures: Mapping[UUID, SendFailure] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold, and how many seconds to wait for more before sending less.

    `max_requests` is how many requests of one batch are sent at once, where a request can't hold it all.
    `max_event_bytes` is the most that one event may have; a larger one is set aside as refused.
    """

    max_events: int = 1
    max_bytes: int = 16 * 1024 * 1024
    max_event_bytes: int = 16 * 1024 * 1024
    max_requests: int = 1
    linger: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one request of an integration, the same over every try.

    `id` and `number` are the same too; numbers count up by one per integration, so that a gap can be seen.
    """

    id: UUID
    number: int
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services are: fixed by their vendors, moved by the operator only."""

    slack: str = "https://slack.com/api/"
    pagerduty: str = "https://events.pagerduty.com/v2/enqueue"
    aws: str | None = None


class DestinationType(ABC, Generic[ConfigT]):
    """The code that can talk to one service, with one configuration.

    `signing_keys` are the tenant's keys for this destination, newest first: types that sign use all of them.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    face: ClassVar[Literal["event_sink", "integration"]]
    Config: ClassVar[type[Config]]
    limits: Limits = Limits()  # ask the instance: they may depend on its configuration

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
        if not response.ok:
            raise judged(response)
        return Receipt(response)

    def target(self) -> str:
        """Return where it goes in a few words, for a list: `#security-alerts`, `example.com`."""
        return self.label


class ClientType(DestinationType[ConfigT]):
    """A destination type whose vendor's own client makes the exchange (boto3: signing, credentials, retries).

    `guard` judges every address that an endpoint of the tenant's choosing resolves to, when it is dialled.
    """

    guard: AddressGuard | None = None

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Refuse: what goes over the wire is the client's business."""
        raise NotImplementedError(f"{self.key} is sent by its vendor's client")

    @abstractmethod
    def send(self, batch: Batch, at: datetime) -> Receipt:
        """Send the batch and say what came of it. Raises SendFailure where it means all of it."""


AnyDestinationType = DestinationType[Any]


def judged(response: Response) -> SendFailure:
    """Return what a status that is not 2xx means where the service says nothing special of it.

    410 is the receiver's word that it is gone, 401 that our credentials are not good; everything else may
    mend itself (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
    """
    if response.status == 410:
        return DestinationGone("the far end answered 410 Gone", response)
    if response.status == 401:
        return DestinationGone("the far end answered 401: its credentials are not accepted", response)
    if 300 <= response.status < 400:
        return Temporary(f"the far end answered {response.status}: redirects are not followed", response)
    return Temporary(f"the far end answered {response.status}", response, retry_after(response, datetime.now(UTC)))


def retry_after(response: Response, now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks for, from 0 to MAX_RETRY_AFTER, None if it says nothing usable.

    Both forms of RFC 9110 section 10.2.3: seconds, and an HTTP date.
    """
    text = (response.header("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None
