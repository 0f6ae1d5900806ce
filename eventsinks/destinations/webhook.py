"""Webhook: the bare event as it was accepted, with the tenant's headers and a Standard Webhooks signature.

The body is what Scanner posts to its webhooks. https://www.standardwebhooks.com adds only headers. The sink's own
template adds keys (destinations/base/templated.py). A template in an alert adds none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field

from eventsinks.destinations.base import Config, DestinationType, Message, PublicUrl, Secret
from eventsinks.destinations.base.templated import make_body
from eventsinks.lib.net.addresses import parse_url
from eventsinks.lib.net.wire import Request
from eventsinks.lib.secrets.signing import make_signature_headers

RESERVED = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "webhook-replay",
        "eventsinks-mark",
        "user-agent",
    ]
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
MAX_HEADERS = 50
MAX_HEADER_LENGTH = 8_000


def check_headers(headers: dict[str, Secret] | None) -> dict[str, Secret] | None:
    """Raise ValueError for a header that is malformed, too long, or not allowed for tenants."""
    for name, value in (headers or {}).items():
        text = value.get_secret_value()
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in RESERVED:
            raise ValueError(f"{name} is set by the sender and can't be overridden")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) or not is_latin1(text):
            raise ValueError(f"the value of {name} has characters that a header can't hold")
        if len(name) + len(text) > MAX_HEADER_LENGTH:
            raise ValueError(f"{name} is longer than {MAX_HEADER_LENGTH} characters")
    return headers


def is_latin1(text: str) -> bool:
    """Whether a header can hold the text: every character is in ISO 8859-1."""
    return all(ord(character) < 256 for character in text)


def make_replay_headers(message: Message) -> tuple[tuple[str, str], ...]:
    """Return the header of a replayed message."""
    return (("webhook-replay", "true"),) if message.replayed else ()


def encode_header_text(text: str) -> str:
    """Return text for a header: printable ASCII, with all other characters percent-encoded."""
    return quote(text[:300], safe=" !#$&'()*+,/:;=?@[]~")


class WebhookConfig(Config):
    """The URL for events, and headers beside our own."""

    url: PublicUrl = Field(max_length=2_000, title="URL")
    headers: Annotated[dict[str, Secret], AfterValidator(check_headers)] | None = Field(
        None, max_length=MAX_HEADERS, title="Headers"
    )
    webhook_type: Literal["Other", "Torq"] = Field("Other", title="Webhook type")


class Webhook(DestinationType[WebhookConfig]):
    """Post the event to a URL."""

    key: ClassVar[str] = "webhook"
    label: ClassVar[str] = "Webhook"
    face = "event_sink"
    Config = WebhookConfig
    signs = True
    example: ClassVar[Mapping[str, Any]] = {"url": "https://example.com/"}

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message, signed at `at`."""
        (message,) = messages
        body = make_body(message)
        signature = make_signature_headers(self.signing_keys, str(message.id), int(at.timestamp()), body)
        marked = (("Eventsinks-Mark", encode_header_text(message.mark)),) if message.mark else ()
        return Request(
            "POST", self.config.url, (*self._headers, *marked, *make_replay_headers(message), *signature), body
        )

    def target(self) -> str:
        """Return the host."""
        return parse_url(self.config.url).host or ""

    @cached_property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        given = {name: value.get_secret_value() for name, value in (self.config.headers or {}).items()}
        if any(name.lower() == "content-type" for name in given):
            return tuple(given.items())
        return (("Content-Type", "application/json"), *given.items())
