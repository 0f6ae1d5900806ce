"""Datadog: many events at once through https://docs.datadoghq.com/api/latest/logs/#send-logs.

Datadog silently drops some events, so we change them visibly: an event that is too old or too far in the future
gets the time of sending, and an event that is too large is cut.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import orjson
from pydantic import AfterValidator, Field, SecretStr, model_validator

from eventsinks.destinations.base import (
    Absent,
    Answers,
    BatchLimits,
    Config,
    DestinationType,
    Meaning,
    Message,
    PublicUrl,
    Secret,
    TooLarge,
)
from eventsinks.destinations.base.netbird import write_headline
from eventsinks.lib.net.addresses import parse_url
from eventsinks.lib.net.wire import Request, Response
from eventsinks.lib.secrets.secret_texts import get_origin

# https://docs.datadoghq.com/getting_started/site/
SITES = (
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
)
REGIONS = {site.partition(".")[0]: site for site in SITES if site.count(".") == 2}
REGIONS |= {"us": "datadoghq.com", "us1": "datadoghq.com", "eu": "datadoghq.eu", "eu1": "datadoghq.eu"}
REGIONS |= {"us1-fed": "ddog-gov.com", "us2-fed": "us2.ddog-gov.com"}
MAX_EVENTS = 1_000
MAX_REQUEST = 5_000_000  # bytes of all events, before they are zipped
MAX_EVENT = 1_000_000  # bytes of one
OLDEST = timedelta(hours=18) - timedelta(minutes=5)  # it must not become too old on the way
NEWEST = timedelta(hours=2) - timedelta(minutes=5)
DEFAULT_NAME = "netbird"  # the service under which NetBird's own streams are found


def find_complaint(response: Response) -> str:
    """Return the error message of Datadog, short enough to show."""
    try:
        errors = orjson.loads(response.body).get("errors")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    found = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    details = [error.get("detail") or error.get("title") for error in found]
    return " ".join("; ".join(detail for detail in details if isinstance(detail, str)).split())[:300]


# https://docs.datadoghq.com/api/latest/logs/#send-logs. If it refuses many events together, it names none.
ANSWERS = Answers(
    "Datadog",
    statuses={
        202: Meaning.TAKEN,
        400: Meaning.REFUSED,
        401: Meaning.BROKEN,
        403: Meaning.BROKEN,
        408: Meaning.PASSING,
        413: Meaning.REFUSED,
        429: Meaning.PASSING,
    },
    why={"401": "its API key is not accepted", "403": "its API key is not accepted"},
    words=find_complaint,
)


def check_key(key: SecretStr) -> SecretStr:
    """Raise ValueError for a key that a header can't hold."""
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", key.get_secret_value()):
        raise ValueError("an API key has no spaces, line breaks or letters beyond ASCII")
    return key


def check_site(site: str) -> str:
    """Raise ValueError for an unknown site."""
    if site not in SITES:
        raise ValueError(f"must be one of {', '.join(SITES)}")
    return site


def check_intake(url: str) -> str:
    """Raise ValueError for a URL with only a host: logs go to a path."""
    if (parse_url(url).path or "/") == "/":
        raise ValueError(
            "must be the whole URL of the intake, as https://http-intake.logs.datadoghq.com/api/v2/logs"
        )
    return url


Name = Annotated[Annotated[str, Field(max_length=200)] | None, Absent]
Intake = Annotated[Annotated[PublicUrl, Field(max_length=2_000), AfterValidator(check_intake)] | None, Absent]


class DatadogConfig(Config):
    """The organisation of Datadog, and the names of the logs.

    The address comes from `api_url`, else from `site`, else from `region`.
    """

    api_key: Annotated[Secret, AfterValidator(check_key)] = Field(title="API key")
    api_url: Intake = Field(None, title="API URL")
    site: Annotated[Annotated[str, AfterValidator(check_site)] | None, Absent] = Field(None, title="Site")
    region: Name = Field(None, title="Region")
    service: Name = Field(None, title="Service")
    ddsource: Name = Field(None, title="Source")
    ddtags: Annotated[Annotated[str, Field(max_length=1_000)] | None, Absent] = Field(None, title="Tags")
    hostname: Name = Field(None, title="Host")

    @model_validator(mode="after")
    def require_address(self) -> Self:
        """Require an address."""
        if not (self.api_url or self.site or self.region):
            raise ValueError("api_url or site is required")
        if not (self.api_url or self.site or self.region in REGIONS):
            raise ValueError(f"region must be one of {', '.join(REGIONS)}")
        return self

    def complete_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes`. A new address removes the other fields, which name the old one."""
        ways = ("api_url", "site", "region")
        new = any(changes.get(way) and changes[way] != self.dump_masked().get(way) for way in ways)
        return {**changes, **{way: None for way in ways if new and way not in changes}}

    def origins(self) -> set[Any]:
        """Return the origin of the address, from any of the three fields."""
        return {get_origin(self.url)}

    @property
    def url(self) -> str:
        """The address that logs are sent to."""
        return self.api_url or f"https://http-intake.logs.{self.site or REGIONS[self.region or '']}/api/v2/logs"


class Datadog(DestinationType[DatadogConfig]):
    """Send logs to Datadog."""

    key: ClassVar[str] = "datadog"
    label: ClassVar[str] = "Datadog"
    face = "integration"
    Config = DatadogConfig
    answers = ANSWERS
    # This leaves room for the fields around each event. If that is not enough, `build` asks for halves.
    limits = BatchLimits(max_events=MAX_EVENTS, max_bytes=MAX_REQUEST - MAX_EVENT, linger=1.0)

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of the messages. Raises TooLarge if one request can't hold them."""
        body = b"[" + b",".join([self._item(message, at) for message in messages]) + b"]"
        if len(body) > MAX_REQUEST or len(messages) > MAX_EVENTS:
            raise TooLarge(f"{len(messages)} events of {len(body)} bytes are too much for one request")
        headers = (
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("DD-API-KEY", self.config.api_key.get_secret_value()),
        )
        return Request("POST", self.config.url, headers, gzip.compress(body, 1, mtime=0))

    def target(self) -> str:
        """Return the host."""
        return parse_url(self.config.url).host or ""

    def _item(self, message: Message, at: datetime) -> bytes:
        item = {
            "message": render_message(message),
            **self._names,
            "event_id": message.id,
            "event_type": message.event_type.key,
            **choose_times(message.occurred_at, at),
        }
        # The accepted bytes go in unparsed, because parsing would round large numbers.
        if len(message.data) < MAX_EVENT:
            whole = orjson.dumps(item | {"event": orjson.Fragment(message.data)})
            if len(whole) <= MAX_EVENT:
                return whole
        return cut_item(item, message.data)

    @cached_property
    def _names(self) -> dict[str, str]:
        """The fields that are the same for every event."""
        config = self.config
        given = {
            "ddsource": config.ddsource or DEFAULT_NAME,
            "ddtags": config.ddtags,
            "hostname": config.hostname,
            "service": config.service or DEFAULT_NAME,
        }
        return {name: value for name, value in given.items() if value is not None}


def render_message(message: Message) -> str:
    """Return the line that people see. A cut ends with an ellipsis."""
    text = write_headline(message) or message.event_type.label
    return text if len(text) <= 10_000 else text[:9_999] + "…"


def choose_times(occurred_at: datetime, at: datetime) -> dict[str, Any]:
    """Return the time of the log: the event's if Datadog accepts it, else `at` with the event's time beside it."""
    happened = occurred_at.astimezone(UTC)
    if -NEWEST <= at - occurred_at <= OLDEST:
        return {"timestamp": happened}
    return {"timestamp": at.astimezone(UTC), "event_time": happened, "restamped": True}


def cut_item(item: Mapping[str, Any], data: bytes) -> bytes:
    """Return an item with as much text of the event as there is room for."""
    note = {"truncated": True, "truncated_from_bytes": len(data)}
    room = MAX_EVENT // 2
    while True:
        start = data[:room].decode("utf-8", "ignore")
        written = orjson.dumps({**item, **note, "event_start": start})
        if len(written) <= MAX_EVENT:
            return written
        room //= 2
