"""PagerDuty: one event each through https://developer.pagerduty.com/docs/events-api-v2-overview."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar

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
from eventsinks.destinations.base.rendering import cut, find_ways, measure_length, render_heading, render_line
from eventsinks.destinations.base.templated import make_distinct
from eventsinks.event_types.base import Summary
from eventsinks.lib.net.wire import Request, Response
from eventsinks.lib.numbers import dumps, parse

ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
SEVERITIES = {  # what is missing here, Medium among it, is a warning
    "Fatal": "critical",
    "Critical": "critical",
    "High": "error",
    "Low": "info",
    "Informational": "info",
}
MAX_EVENT = 512_000  # bytes; an event must stay below
MAX_SUMMARY = 1_024  # characters
MAX_SOURCE = 1_024  # characters; nowhere documented, but no source that a person can read is longer
MAX_DEDUP_KEY = 255  # characters
MAX_LINK = 3_000  # characters
TOO_LARGE = {"note": "The alert is too large for PagerDuty, so its details were left out."}
# PagerDuty has several texts for an unknown key, in JSON and in plain text.
ABOUT_THE_KEY = re.compile(r"(routing|integration|service)[ _-]?key", re.IGNORECASE)


ABOUT_THE_KEY_CODE = "key"  # ours: what it complains of is the key


def find_code(response: Response) -> str:
    """Return a code if a 400 is about the key."""
    about_the_key = response.status == 400 and ABOUT_THE_KEY.search(find_complaint(response))
    return ABOUT_THE_KEY_CODE if about_the_key else ""


def find_complaint(response: Response) -> str:
    """Return the error message of PagerDuty, short enough to show."""
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return response.body.decode("utf-8", "replace")
    said = answer.get("errors") or answer.get("message") if isinstance(answer, dict) else answer
    parts = said if isinstance(said, list) else [said or ""]
    return "; ".join(part for part in parts if isinstance(part, str))


# https://developer.pagerduty.com/docs/send-alert-event#response-codes--retry-logic
ANSWERS = Answers(
    "PagerDuty",
    codes={ABOUT_THE_KEY_CODE: Meaning.BROKEN},
    statuses={
        202: Meaning.TAKEN,
        400: Meaning.PLAINER,
        401: Meaning.BROKEN,
        403: Meaning.BROKEN,
        413: Meaning.PLAINER,
        429: Meaning.PASSING,
    },
    why={
        ABOUT_THE_KEY_CODE: "it does not accept the integration key",
        "401": "its key is not accepted",
        "403": "its key is not accepted",
    },
    code=find_code,
    words=find_complaint,
)


def check_key(key: SecretStr) -> SecretStr:
    """Raise ValueError unless `key` looks like an integration key."""
    if not re.fullmatch(r"[A-Za-z0-9]{32}", key.get_secret_value()):
        raise ValueError("an integration key is 32 letters and digits")
    return key


class PagerDutyConfig(Config):
    """The integration key of a service."""

    integration_key: Annotated[Secret, AfterValidator(check_key)] = Field(title="Integration key")


class PagerDuty(DestinationType[PagerDutyConfig]):
    """Trigger, acknowledge and resolve the incidents of a service."""

    key: ClassVar[str] = "pagerduty"
    label: ClassVar[str] = "PagerDuty"
    face = "event_sink"
    Config = PagerDutyConfig
    example: ClassVar[Mapping[str, Any]] = {"integration_key": "0" * 32}
    answers = ANSWERS

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message, without its details if they would make it too large."""
        (message,) = messages
        sizes = (self._event(message, incident) for incident in make_incidents(message))
        body = next(body for body in sizes if len(body) < MAX_EVENT)
        return Request("POST", self.endpoints.pagerduty, (("Content-Type", "application/json"),), body)

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return the event with only its first line: without details, links and time."""
        plain = {"summary", "source", "severity"}
        given = parse(request.body)
        if set(given["payload"]) == plain:
            return None
        kept = {name: value for name, value in given["payload"].items() if name in plain}
        event = {name: value for name, value in given.items() if name != "links"}
        return request._replace(body=dumps({**event, "payload": kept}))

    def _event(self, message: Message, incident: bytes) -> bytes:
        event = {
            "routing_key": self.config.integration_key.get_secret_value(),
            "event_action": ACTIONS.get(message.summary.status, "trigger"),
            "dedup_key": name_incident(message),
        }
        return orjson.dumps(event)[:-1] + b"," + incident[1:]


def name_incident(message: Message) -> str:
    """Return the name of the incident. If PagerDuty would refuse it, return its SHA-256."""
    key = message.summary.dedup_key or str(message.id)
    return key if measure_length(key) <= MAX_DEDUP_KEY else hashlib.sha256(key.encode()).hexdigest()


def make_incidents(message: Message) -> Iterator[bytes]:
    """Yield the incident for all services, each time with fewer details. Each form is made once."""
    for number, found in enumerate(message.once("pagerduty.details", lambda: [*make_details(message)])):
        yield message.once(f"pagerduty.{number}", partial(make_incident, message, found))


def make_incident(message: Message, details: Any) -> bytes:
    """Return the part that is the same for all services."""
    told = {
        "payload": make_payload(message, details),
        "client": "eventsinks",
        "links": make_links(message.summary),
    }
    return orjson.dumps(told)


def make_payload(message: Message, details: Any) -> dict[str, Any]:
    """Return the payload of the incident. The fields that PagerDuty requires are never empty."""
    summary = message.summary
    return {
        "summary": render_heading(summary, MAX_SUMMARY),
        "source": cut(render_line(summary.source), MAX_SOURCE) or "eventsinks",
        "severity": SEVERITIES.get(summary.severity, "warning"),
        "timestamp": message.occurred_at.isoformat(),
        "custom_details": details,
    }


def make_details(message: Message) -> Iterator[Any]:
    """Yield the details of an incident, each time fewer: labels with values, and the alert."""
    # The accepted bytes go in unparsed, because parsing would round large numbers.
    alert = orjson.Fragment(message.data)
    summary = message.summary
    if told := make_distinct([*summary.info, *find_ways(summary, MAX_LINK)[1]], ("alert",)):
        yield {**told, "alert": alert}
        yield {**told, "alert": TOO_LARGE["note"]}
    else:
        yield alert
    yield TOO_LARGE


def make_links(summary: Summary) -> list[dict[str, str]]:
    """Return the links to the event and to the template's actions that can be followed."""
    return [{"href": link, "text": label} for label, link in find_ways(summary, MAX_LINK)[0]]
