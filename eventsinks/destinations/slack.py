"""Slack: one message each through https://docs.slack.dev/reference/methods/chat.postMessage.

What comes from an event is plain text, never mrkdwn: it can't mention anybody or spoof a link.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Self

import orjson
from pydantic import AfterValidator, Field, SecretStr, model_validator
from slack_sdk.models import blocks as kit

from eventsinks.destinations.base import (
    Config,
    DestinationGone,
    DestinationType,
    EventRefused,
    Message,
    Receipt,
    Secret,
    SendFailure,
    Temporary,
    judged,
    retry_after,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.addresses import AddressGuard, parse_url
from eventsinks.lib.wire import Request, Response

MARKS = {"Fatal": "🟣", "Critical": "🔴", "High": "🟠", "Medium": "🟡", "Low": "🔵"}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Control characters, and those that turn the direction of writing: text would look like other text.
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

MAX_BLOCKS_TEXT = 9_500  # characters of all blocks; from about 10,000 they are too long for Slack
MAX_HEADER = kit.HeaderBlock.text_max_length
MAX_TEXT = kit.SectionBlock.text_max_length
MAX_FIELD = 2_000  # characters
MAX_TAGS = 500  # characters
MAX_FALLBACK = 500  # characters of what a notification shows

# https://docs.slack.dev/reference/methods/chat.postMessage#errors; any other may mend itself.
GONE = re.compile(
    r"channel_not_found|not_in_channel|is_archived|missing_scope|no_permission|restricted_action\w*"
    r"|not_allowed_token_type|invalid_auth|not_authed|token_revoked|token_expired|account_inactive"
)
REFUSED = re.compile(
    r"invalid_blocks|invalid_blocks_format|msg_blocks_too_long|msg_too_long|no_text|too_many_attachments"
)
IDENTIFIER = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


def bare_name(text: str) -> str:
    """Return the name of a channel without its `#`. Raises ValueError for what is not a name."""
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
    """Which channel of which workspace is posted to.

    The token is the workspace's: the engine adds it, and it is never shown, kept or changed with the rest.
    """

    slack_integration_id: str = Field(pattern=IDENTIFIER, title="Slack integration")
    channel_id: str = Field("", max_length=80, pattern=r"^[A-Za-z0-9]*$", title="Channel ID")
    channel_name: Annotated[str, AfterValidator(bare_name)] = Field("", title="Channel name")
    token: Annotated[Secret, AfterValidator(check_token)] = Field(SecretStr(""), exclude=True)

    @model_validator(mode="after")
    def has_a_channel(self) -> Self:
        """Require a channel, by id or by name."""
        if not self.channel_id and not self.channel_name:
            raise ValueError("channel_id or channel is required")
        return self

    def changed(self, changes: Mapping[str, Any], guard: AddressGuard | None = None) -> Self:
        """Return it with `changes`. Raises pydantic.ValidationError.

        Where only the id or only the name is new, the other one goes: it names the old channel.
        """
        forgotten: dict[str, None] = {}
        for given, other in (("channel_id", "channel_name"), ("channel_name", "channel_id")):
            new = str(changes.get(given) or "").removeprefix("#")
            if new and new != getattr(self, given) and other not in changes:
                forgotten[other] = None
        moved = super().changed({**changes, **forgotten}, guard)
        return moved.model_copy(update={"token": self.token})


class Slack(DestinationType[SlackConfig]):
    """Post the event to a channel."""

    key: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    face = "event_sink"
    Config = SlackConfig

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message."""
        (message,) = messages
        headers = (
            ("Authorization", f"Bearer {self.config.token.get_secret_value()}"),
            ("Content-Type", "application/json; charset=utf-8"),
        )
        url = f"{self.endpoints.slack}chat.postMessage"
        return Request("POST", url, headers, self._body(message.summary))

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the receipt of an `ok`; raise what anything else means."""
        if response.ok and says_ok(response.body):
            return Receipt(response)
        raise failure(response)

    def target(self) -> str:
        """Return the channel."""
        name = self.config.channel_name
        return f"#{name}" if name else self.config.channel_id

    def _body(self, summary: Summary) -> bytes:
        return orjson.dumps(
            {
                "channel": self.config.channel_id or self.target(),
                "text": escaped(f"{status_line(summary)}: {heading(summary)}", MAX_FALLBACK),
                "blocks": [block.to_dict() for block in blocks(summary)],
                # Slack is to read nothing into the text: no names, no markup, no previews of pages.
                "parse": "none",
                "link_names": False,
                "mrkdwn": False,
                "unfurl_links": False,
                "unfurl_media": False,
            }
        )


def blocks(summary: Summary) -> list[kit.Block]:
    """Return the message: heading, severity with the link, description, facts, tags."""
    title, state = escaped(heading(summary), MAX_HEADER), status_line(summary)
    text, tags = escaped(summary.text, MAX_TEXT), escaped(" · ".join(summary.tags), MAX_TAGS)
    link = button(summary.link)
    taken = sum(map(length, (title, state, text, tags, summary.link if link else "")))
    found: list[kit.Block] = [
        kit.HeaderBlock(text=plain(title)),
        kit.SectionBlock(text=plain(state), accessory=link),
    ]
    if text.strip():
        found.append(kit.SectionBlock(text=plain(text)))
    if facts := fields(summary, MAX_BLOCKS_TEXT - taken):
        found.append(kit.SectionBlock(fields=facts))
    if tags.strip():
        found.append(kit.ContextBlock(elements=[plain(tags)]))
    return found


def heading(summary: Summary) -> str:
    """Return the title on one line; Slack takes no empty header."""
    return " ".join(HIDDEN.sub(" ", summary.title).split()) or "(untitled)"


def status_line(summary: Summary) -> str:
    """Return how bad it is, and whether it is over."""
    line = f"{MARKS.get(summary.severity, '⚪')} {escaped(summary.severity, MAX_HEADER)}"
    return line if summary.status == "firing" else f"{line} · {summary.status}"


def fields(summary: Summary, room: int) -> list[kit.PlainTextObject]:
    """Return the first facts; together they take at most `room` characters."""
    told = [fact for fact in summary.facts if HIDDEN.sub("", "".join(fact)).strip()]
    told = told[: kit.SectionBlock.fields_max_length]
    limit = min(MAX_FIELD, room // max(len(told), 1))
    return [plain(escaped(f"{label}\n{value}", limit)) for label, value in told]


def button(link: str) -> kit.ButtonElement | None:
    """Return the way to the event, if it is one that can be followed."""
    try:
        parse_url(link)
    except ValueError:
        return None
    if len(link) > kit.ButtonElement.url_max_length:
        return None
    return kit.ButtonElement(text=plain("View in Scanner"), url=link, action_id="view_in_scanner")


def plain(text: str) -> kit.PlainTextObject:
    """Return `text` as Slack shows it: nothing in it is markup, not even `:fire:`."""
    return kit.PlainTextObject(text=text, emoji=False)


def escaped(text: str, limit: int) -> str:
    """Return `text` with Slack's control characters as entities, cut after `limit` characters.

    An ellipsis tells of the cut, and no entity is cut in two.
    """
    shown = HIDDEN.sub("", text)[: limit + 1]
    pieces = [ENTITIES.get(character, character) for character in shown]
    ends = list(accumulate(map(length, pieces)))
    if not ends or ends[-1] <= limit:
        return "".join(pieces)
    return "".join(pieces[: bisect_right(ends, limit - 1)]) + "…"


def length(text: str) -> int:
    """Return the characters of `text` as UTF-16 counts them: the most that a service may count."""
    return len(text) + sum(character > "\uffff" for character in text)


def says_ok(body: bytes) -> bool:
    """Whether Slack took the message. It repeats it, and a repetition that was cut is no JSON."""
    begins_ok = re.match(rb'\s*\{\s*"ok"\s*:\s*true\b', body)
    return begins_ok is not None or answer(body).get("ok") is True


def answer(body: bytes) -> dict[str, Any]:
    """Return Slack's answer, empty where it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def failure(response: Response) -> SendFailure:
    """Return what an answer that is not `ok` means: its error code says it, else its status."""
    said = answer(response.body).get("error")
    code = said[:100] if isinstance(said, str) and response.status < 500 else ""
    reason = f"Slack answered {code}" if code else "Slack's answer can't be read"
    if GONE.fullmatch(code):
        return DestinationGone(reason, response)
    if REFUSED.fullmatch(code):
        return EventRefused(reason, response)
    if not response.ok:
        return judged(response)
    return Temporary(reason, response, retry_after(response, datetime.now(UTC)))
