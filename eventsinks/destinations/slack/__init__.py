"""Slack: one message each through https://docs.slack.dev/reference/methods/chat.postMessage.

Text of an event is plain text, never mrkdwn. It can't mention anybody or spoof a link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

import orjson
from pydantic import AfterValidator, Field, SecretStr, model_validator

from eventsinks.destinations.base import (
    Config,
    DestinationType,
    Message,
    NotConnected,
    Receipt,
    Secret,
)
from eventsinks.destinations.slack.answers import ANSWERS, read_answer, says_ok, simplify_request
from eventsinks.destinations.slack.blocks import make_slack_message as told
from eventsinks.destinations.slack.incident import LOST, SlackIncident, make_answer
from eventsinks.lib.net import slack
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.wire import Request, Response

# Slack must not interpret a text: no names, no markup, no previews of pages.
UNPARSED = {"parse": "none", "link_names": False}
UNADORNED = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
JOINED = ("X-Joined", "1")  # says of the second post of a try that joining has been tried
IDENTIFIER = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def strip_channel(text: str) -> str:
    """Return the name of a channel without its `#`. Raises ValueError if it is not a name."""
    name = text.strip().removeprefix("#")
    if not re.fullmatch(r"[\w.-]{0,80}", name):
        raise ValueError("a channel's name is up to 80 letters, digits, hyphens and underscores")
    return name


def check_token(token: SecretStr) -> SecretStr:
    """Raise ValueError for a token that a header can't hold."""
    if not re.fullmatch(r"[\x21-\x7e]*", token.get_secret_value()):
        raise ValueError("a token has no spaces, line breaks or letters beyond ASCII")
    return token


class SlackConfig(Config):
    """The channel, and its workspace.

    The token belongs to the workspace. The engine adds it. It is never shown, stored or changed with the config.
    """

    slack_integration_id: str = Field(pattern=IDENTIFIER, title="Slack integration")
    channel_id: str = Field("", max_length=80, pattern=r"^[A-Za-z0-9]*$", title="Channel ID")
    channel_name: Annotated[str, AfterValidator(strip_channel)] = Field("", title="Channel name")
    scopes: str = Field("", exclude=True)  # of the token; empty: not known
    token: Annotated[Secret, AfterValidator(check_token)] = Field(SecretStr(""), exclude=True)

    @model_validator(mode="after")
    def require_channel(self) -> Self:
        """Require a channel, by id or by name."""
        if not self.channel_id and not self.channel_name:
            raise ValueError("channel_id or channel is required")
        return self

    def complete_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `changes`. A new id alone or a new name alone removes the other, which names the old channel."""
        forgotten: dict[str, None] = {}
        for given, other in (("channel_id", "channel_name"), ("channel_name", "channel_id")):
            new = str(changes.get(given) or "").removeprefix("#")
            if new and new != getattr(self, given) and other not in changes:
                forgotten[other] = None
        return {**changes, **forgotten}

    def apply_changes(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return the config with `changes` and the token of its workspace. Raises pydantic.ValidationError."""
        moved = super().apply_changes(changes, guard)
        return moved.model_copy(update={"token": self.token, "scopes": self.scopes})


class Slack(DestinationType[SlackConfig]):
    """Post the event to a channel."""

    key: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    face = "event_sink"
    connects = True
    remembers = True
    answers = ANSWERS
    rate_interval = 1.0  # https://docs.slack.dev/apis/web-api/rate-limits: one message a second and channel
    Config = SlackConfig
    example: ClassVar[Mapping[str, Any]] = {
        "slack_integration_id": "00000000-0000-0000-0000-000000000000",
        "channel_name": "preview",
    }

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message, the edit of an incident's first message, or an answer in its thread."""
        (message,) = messages
        incident = SlackIncident.of(message.memory)
        if incident is None or incident.is_over_for(message):
            return self._post(message)
        if message.summary.status == "firing" and not incident.is_told(message):
            return self._answer(message, incident)
        status = incident.after(message).status
        first = {"channel": incident.channel, "ts": incident.ts}
        return self._call("chat.update", {**first, **told(incident.first, status), **UNPARSED})

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the receipt of an `ok`, with the place of the incident. Raises SendFailure for other answers."""
        (message,) = messages
        super().read(response, messages)
        said, incident = read_answer(response.body), SlackIncident.of(message.memory)
        ts, posted = said.get("ts"), said.get("message")
        thread = posted.get("thread_ts") if isinstance(posted, dict) else None
        if incident is not None and incident.ts in (ts, thread):
            return Receipt(response, memory=incident.after(message).memory())
        if not isinstance(ts, str) or not isinstance(said.get("channel"), str):
            return Receipt(response)
        summary = message.summary
        begun = SlackIncident(said["channel"], ts, summary.status, str(message.id), summary)
        return Receipt(response, memory=begun.memory())

    def then(self, message: Message, request: Request, response: Response) -> Request | None:
        """Return the next request: an answer in the thread after an edit, a new post, or joining the channel."""
        said, incident = read_answer(response.body), SlackIncident.of(message.memory)
        if incident is not None and LOST.fullmatch(str(said.get("error"))):
            return self._post(message)
        if (plainer := super().then(message, request, response)) is not None:
            return plainer
        if not request.url.endswith("/chat.update"):
            return self._join(message, request, response)
        if incident is None or incident.is_told(message) or not says_ok(response.body):
            return None
        return self._answer(message, incident)

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return a post or an edit without its blocks."""
        has_blocks = b'"blocks":' in request.body
        return request._replace(body=simplify_request(request.body, message)) if has_blocks else None

    def _join(self, message: Message, request: Request, response: Response) -> Request | None:
        """Return the request that joins the channel, if the scopes allow it, or the post after the join."""
        if request.url.endswith("/conversations.join"):
            if not says_ok(response.body):
                return None
            again = self.build([message], message.occurred_at)
            return again._replace(headers=(*again.headers, JOINED))
        may_join = not self.config.scopes or "channels:join" in self.config.scopes.split(",")
        outside = read_answer(response.body).get("error") == "not_in_channel"
        if not (outside and may_join and self.config.channel_id) or JOINED in request.headers:
            return None
        return self._call("conversations.join", {"channel": self.config.channel_id})

    def _post(self, message: Message) -> Request:
        """Return the post of a whole message."""
        channel = self.config.channel_id or self.target()
        return self._call(
            "chat.postMessage",
            {
                "channel": channel,
                **message.once("slack.post", lambda: told(message.summary)),
                **UNPARSED,
                **UNADORNED,
            },
        )

    def _answer(self, message: Message, incident: SlackIncident) -> Request:
        """Return the post of the news in the thread of the incident."""
        thread = {"channel": incident.channel, "thread_ts": incident.ts}
        news = message.once("slack.answer", lambda: make_answer(message.summary))
        arguments = {**thread, **news, **UNPARSED, **UNADORNED}
        return self._call("chat.postMessage", arguments)

    def _call(self, method: str, arguments: Mapping[str, Any]) -> Request:
        """Return the call of one of Slack's methods."""
        headers = (
            ("Authorization", f"Bearer {self.config.token.get_secret_value()}"),
            ("Content-Type", "application/json; charset=utf-8"),
        )
        return Request("POST", f"{self.endpoints.slack}{method}", headers, orjson.dumps(arguments))

    def rate_key(self) -> str:
        """Return the channel of the workspace."""
        return f"{self.config.slack_integration_id}:{self.config.channel_id or self.config.channel_name}"

    def connect(self) -> SlackConfig:
        """Return the config with the channel's id and name. Raises NotConnected if there is no such channel."""
        config = self.config
        by_id = bool(config.channel_id)
        wanted, token = config.channel_id or config.channel_name, config.token.get_secret_value()
        try:
            found = slack.find_channel(self.endpoints.slack, token, "id" if by_id else "name", wanted)
        except slack.Unreachable:
            return config
        except slack.SlackSaid as said:
            if said.code != "channel_not_found":
                return config
            found = None
        if found is None:
            field = "channel_id" if by_id else "channel_name"
            raise NotConnected(field, "Slack knows no such channel, or does not show it to the app")
        return config.model_copy(update={"channel_id": found[0], "channel_name": found[1]})

    def target(self) -> str:
        """Return the channel."""
        name = self.config.channel_name
        return f"#{name}" if name else self.config.channel_id
