"""Generic HTTP: one POST for each event, in NetBird's shape, in another one, or in the tenant's own template.

Up to 50 are sent at once, so they may arrive in any order. With `ordered`, each waits for the answer to the one
before.

https://docs.netbird.io/manage/activity/event-streaming/generic-http
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, SerializationInfo

from eventsinks.destinations.base import (
    LONG_TEXT,
    MASK,
    Absent,
    Answers,
    BatchLimits,
    Config,
    DestinationType,
    Endpoints,
    EventRefused,
    Meaning,
    Message,
    PublicUrl,
)
from eventsinks.destinations.base.netbird import SevenFields, write_seven_fields
from eventsinks.destinations.webhook import MAX_HEADERS, check_headers, make_replay_headers
from eventsinks.lib.net.addresses import parse_url
from eventsinks.lib.net.wire import Request
from eventsinks.lib.secrets.secret_texts import get_origin
from eventsinks.lib.secrets.signing import make_signature_headers
from eventsinks.lib.templates.go_template import GoTemplate, RawJson
from eventsinks.lib.templates.go_time import GoTime

NAMES = ("ID", "Timestamp", "Message", "InitiatorID", "TargetID", "Meta", "Reference")
SCHEMES = ("Basic ", "Bearer ")
# The dashboard reads "Basic ****" as two fields with ****, and writes them back encoded.
MASKED_PAIR = "Basic " + base64.b64encode(f"{MASK}:{MASK}".encode()).decode()
MAX_BODY = 5_000_000  # characters of a filled-in template
# The statuses that are about the event itself.
ANSWERS = Answers(statuses={400: Meaning.REFUSED, 413: Meaning.REFUSED, 422: Meaning.REFUSED})


def check_headers_text(text: SecretStr | None) -> SecretStr | None:
    """Return the text in its shortest form. Raises ValueError unless it is a JSON object of allowed headers."""
    if text is None:
        return None
    headers = parse_headers(text)
    if headers is None:
        raise ValueError("must be a JSON object of header names and values, as a string")
    if len(headers) > MAX_HEADERS:
        raise ValueError(f"there may be at most {MAX_HEADERS} headers")
    check_headers({name: SecretStr(value) for name, value in headers.items()})
    if any(value == mask_header(value) != "" for value in headers.values()):
        raise ValueError(f"{MASK} stands for a secret that is kept, and there is none here yet")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("no header may be given twice")
    return SecretStr(orjson.dumps(headers).decode())


def dump_headers(text: SecretStr | None, info: SerializationInfo) -> str | None:
    """Return the headers as JSON. Values are masked, unless the dump reveals secrets."""
    if text is None or (info.context and info.context.get("reveal")):
        return text.get_secret_value() if text else None
    headers = parse_headers(text) or {}
    return orjson.dumps({name: mask_header(value) for name, value in headers.items()}).decode()


def parse_headers(text: SecretStr) -> dict[str, str] | None:
    """Return the headers of a JSON text. Return None if it has another form."""
    try:
        found = orjson.loads(text.get_secret_value())
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()) else None


def mask_header(value: str) -> str:
    """Return a masked header value. An authorisation keeps its scheme, so that a form can show it."""
    scheme = next((scheme for scheme in SCHEMES if value.startswith(scheme)), "")
    return scheme + MASK if value else ""


def check_template(text: str | None) -> str | None:
    """Raise ValueError for a template that can't be rendered."""
    if text is not None:
        parse_template(text)
    return text


def parse_template(text: str) -> GoTemplate:
    """Parse a body template with NetBird's variables. Raises ValueError."""
    return GoTemplate(text, NAMES, nested="Meta", time="Timestamp")


LongText = Annotated[str, Field(json_schema_extra={"format": LONG_TEXT})]


class GenericHttpConfig(Config):
    """The URL for events, the headers, and optionally a template of the body."""

    url: PublicUrl = Field(max_length=2_000, title="URL")
    headers: Annotated[
        SecretStr | None, PlainSerializer(dump_headers), AfterValidator(check_headers_text), Absent
    ] = Field(None, title="Headers")
    body_template: Annotated[LongText | None, AfterValidator(check_template), Absent] = Field(
        None, title="Body template"
    )
    ordered: Annotated[Literal["true", "false"] | None, Absent] = Field(
        None, title="In order, one request at a time"
    )

    def complete_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes`. A masked value in the headers keeps the stored value."""
        given = dict(changes)
        if isinstance(given.get("headers"), str) and self.headers is not None:
            given["headers"] = unmask_headers(self.headers, given["headers"])
        return given

    def origins(self) -> set[Any]:
        """Return the origin of `url`. A template may look like a URL, but is not one."""
        return {get_origin(self.url)}

    def list_kept_secrets(self, after: Self, changes: Mapping[str, Any]) -> list[str]:
        """Return the fields whose secret is kept. The dashboard's own masks count, too."""
        given = dict(changes)
        if isinstance(given.get("headers"), str):
            given["headers"] = given["headers"].replace(MASKED_PAIR, MASK)
        return super().list_kept_secrets(after, given)


def unmask_headers(before: SecretStr, after: str) -> str:
    """Return the JSON of headers. Each masked value is replaced by the value of this name in `before`."""
    headers = parse_headers(SecretStr(after))
    if headers is None:
        return after
    kept = {name.lower(): value for name, value in (parse_headers(before) or {}).items()}
    for name, value in headers.items():
        was = kept.get(name.lower(), "")
        shown = mask_header("Basic ") if value == MASKED_PAIR else value
        if was and shown in (MASK, mask_header(was)):
            headers[name] = was
    return orjson.dumps(headers).decode()


class GenericHttp(DestinationType[GenericHttpConfig]):
    """Post each event to a URL."""

    key: ClassVar[str] = "generic_http"
    label: ClassVar[str] = "Generic HTTP"
    face = "integration"
    Config = GenericHttpConfig
    answers = ANSWERS
    signs = True
    limits = BatchLimits(max_events=1, max_requests=50)
    usual_mapping = "netbird_http"

    def __init__(
        self, config: GenericHttpConfig, signing_keys: Sequence[bytes] = (), endpoints: Endpoints = Endpoints()
    ) -> None:
        super().__init__(config, signing_keys, endpoints)
        if config.ordered == "true":
            self.limits = BatchLimits(max_events=1, max_requests=1)

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message, signed at `at`. Raises EventRefused if it is too large."""
        (message,) = messages
        body = self._body(message)
        signature = make_signature_headers(self.signing_keys, str(message.id), int(at.timestamp()), body)
        return Request("POST", self.config.url, (*self._headers, *make_replay_headers(message), *signature), body)

    def target(self) -> str:
        """Return the host."""
        return parse_url(self.config.url).host or ""

    def _body(self, message: Message) -> bytes:
        if self._template is None:
            return message.data
        try:
            return self._template.render(make_variables(write_seven_fields(message)), MAX_BODY).encode()
        except ValueError as error:
            raise EventRefused(str(error)) from None

    @cached_property
    def _template(self) -> GoTemplate | None:
        return None if self.config.body_template is None else parse_template(self.config.body_template)

    @cached_property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        given = (parse_headers(self.config.headers) or {}) if self.config.headers else {}
        if any(name.lower() == "content-type" for name in given):
            return tuple(given.items())
        is_json = self._template is None or self._template.is_json
        return (("Content-Type", "application/json" if is_json else "text/plain; charset=utf-8"), *given.items())


def make_variables(event: SevenFields) -> Mapping[str, Any]:
    """Return the variables of a template."""
    return {
        "ID": event.id,
        "Timestamp": GoTime(event.timestamp),
        "Message": event.message,
        "InitiatorID": event.initiator_id,
        "TargetID": event.target_id,
        "Meta": RawJson(event.meta_json.decode(), event.meta),
        "Reference": event.reference,
    }
