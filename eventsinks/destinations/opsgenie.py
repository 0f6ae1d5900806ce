"""Opsgenie: alerts open, are acknowledged and close through https://docs.opsgenie.com/docs/alert-api.

Atlassian ends Opsgenie in April 2027. Its Alert API answers 202 and does the rest later. So we only know that an
alert was queued. If an alert with the same alias is open, Opsgenie only counts it up, so a second copy opens
nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

import orjson
from pydantic import AfterValidator, Field, SecretStr

from eventsinks.destinations.base import (
    Answers,
    Config,
    DestinationType,
    Meaning,
    Message,
    Secret,
)
from eventsinks.destinations.base.rendering import (
    cut,
    measure_length,
    read_answer,
    read_text,
    render_heading,
    render_letter,
    render_line,
    render_pairs,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.net.wire import Request, Response

BASES = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}
PRIORITIES = {"Fatal": "P1", "Critical": "P1", "High": "P2", "Medium": "P3", "Low": "P4", "Informational": "P5"}
DONE = {"acknowledged": "acknowledge", "resolved": "close"}  # the actions on an alert that is there
# https://docs.opsgenie.com/docs/alert-api#create-alert, in characters
MAX_MESSAGE = 130
MAX_ALIAS = 512
MAX_DESCRIPTION = 15_000
MAX_TAGS, MAX_TAG = 20, 50
MAX_DETAILS = 8_000  # of all of them together
MAX_SOURCE = 100
MAX_TEXT = 8_000  # of the description, so that there is room for the rest; ours
ROWS = 20
# "<" before these characters begins a tag, because Opsgenie shows the texts of an alert as HTML.
TAG = re.compile(r"<(?=[A-Za-z/!?])")


PLAIN = ("message", "alias", "priority", "source", "note")  # what no form of text can spoil


def find_words(response: Response) -> str:
    """Return the error message of Opsgenie."""
    return read_text(read_answer(response.body).get("message")) if not response.ok else ""


def find_code(response: Response) -> str:
    """Return a code if a 422 is about the key."""
    return "key" if response.status == 422 and "key format" in find_words(response).lower() else ""


# https://docs.opsgenie.com/docs/response#response-codes
ANSWERS = Answers(
    "Opsgenie",
    codes={"key": Meaning.BROKEN},
    statuses={
        400: Meaning.PLAINER,
        401: Meaning.BROKEN,
        402: Meaning.BROKEN,
        403: Meaning.BROKEN,
        404: Meaning.PASSING,
        405: Meaning.PASSING,
        413: Meaning.PLAINER,
        422: Meaning.PLAINER,
        429: Meaning.PASSING,
    },
    why={"key": "its key is not accepted", "402": "its plan does not allow it"},
    code=find_code,
    words=find_words,
)


def check_key(key: SecretStr) -> SecretStr:
    """Raise ValueError unless `key` looks like the key of an API integration."""
    if not re.fullmatch(r"[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}", key.get_secret_value()):
        raise ValueError("an API key is 36 letters, digits and hyphens, in the form of a UUID")
    return key


class OpsgenieConfig(Config):
    """The key of an API integration, and its region."""

    api_key: Annotated[Secret, AfterValidator(check_key)] = Field(title="API key")
    region: Literal["us", "eu"] = Field("us", title="Region")

    def origins(self) -> set[Any]:
        """Return the region: each has a host of its own."""
        return {self.region}


class Opsgenie(DestinationType[OpsgenieConfig]):
    """Create, acknowledge and close the alerts of a team."""

    key: ClassVar[str] = "opsgenie"
    label: ClassVar[str] = "Opsgenie"
    face = "event_sink"
    Config = OpsgenieConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {"api_key": "00000000-0000-0000-0000-000000000000"}

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message: a new alert, or a change of one."""
        (message,) = messages
        alerts = f"{BASES[self.config.region]}/v2/alerts"
        action = DONE.get(message.summary.status)
        if action is None:
            found = message.once("opsgenie", lambda: make_alert(message.summary))
            return self._post(alerts, {**found, "alias": name_alias(message)})
        url = f"{alerts}/{quote(name_alias(message), safe='')}/{action}?identifierType=alias"
        note = strip_tags(render_heading(message.summary, MAX_DESCRIPTION))
        return self._post(url, {"source": name_source(message.summary), "note": note})

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return the alert with only its first line."""
        given = orjson.loads(request.body)
        plain = {name: value for name, value in given.items() if name in PLAIN}
        return request._replace(body=orjson.dumps(plain)) if plain != given else None

    def target(self) -> str:
        """Return the region."""
        return f"Opsgenie ({self.config.region.upper()})"

    def _post(self, url: str, document: Any) -> Request:
        headers = (
            ("Authorization", f"GenieKey {self.config.api_key.get_secret_value()}"),
            ("Content-Type", "application/json"),
        )
        return Request("POST", url, headers, orjson.dumps(document))


def make_alert(summary: Summary) -> dict[str, Any]:
    """Return a new alert, without its alias."""
    tags = [cut(strip_tags(render_line(tag)), MAX_TAG) for tag in summary.tags if render_line(tag)]
    return {
        "message": cut(strip_tags(render_heading(summary, MAX_MESSAGE)), MAX_MESSAGE),
        "alias": "",
        "description": cut(strip_tags(render_letter(summary, MAX_TEXT, ROWS)), MAX_DESCRIPTION),
        "priority": PRIORITIES.get(summary.severity, "P3"),
        "source": name_source(summary),
        "tags": list(dict.fromkeys(tags))[:MAX_TAGS],
        "details": make_details(summary),
    }


def name_alias(message: Message) -> str:
    """Return the name of the incident. If Opsgenie would refuse it, return its SHA-256."""
    key = message.summary.dedup_key or str(message.id)
    plain = measure_length(key) <= MAX_ALIAS and key == render_line(key) and key not in (".", "..")
    return key if plain else hashlib.sha256(key.encode()).hexdigest()


def name_source(summary: Summary) -> str:
    """Return the source, never empty."""
    return cut(strip_tags(render_line(summary.source)), MAX_SOURCE) or "eventsinks"


def make_details(summary: Summary) -> dict[str, str]:
    """Return labels and values as properties, as many as there is room for."""
    found: dict[str, str] = {}
    room = MAX_DETAILS
    for label, value in render_pairs(summary):
        name, text = cut(strip_tags(label), 100), cut(strip_tags(value), 1_000)
        room -= measure_length(name) + measure_length(text)
        if room < 0:
            break
        found.setdefault(name, text)
    return found


def strip_tags(text: str) -> str:
    """Return `text` without the beginning of a tag."""
    return TAG.sub("< ", text)
