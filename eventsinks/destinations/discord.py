"""Discord: one embed each through https://docs.discord.com/developers/resources/webhook#execute-webhook.

All text of an embed is Markdown. So each special character is escaped, and nobody is mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import AfterValidator, Field, SecretStr

from eventsinks.destinations.base import (
    MAX_RETRY_AFTER,
    Answers,
    Config,
    DestinationType,
    Meaning,
    Message,
    SecretUrl,
    read_retry_after,
)
from eventsinks.destinations.base.rendering import (
    MAX_WAYS,
    cut,
    drop_invisible,
    escape,
    find_links,
    make_link,
    measure_length,
    read_answer,
    read_text,
    render_heading,
    render_line,
    render_more,
    render_pairs,
    render_state,
    render_table,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.net.wire import Request, Response

# https://docs.discord.com/developers/resources/message#embed-object-embed-limits, in characters
MAX_EMBED = 6_000  # of title, description and fields together
MAX_TITLE = 256
MAX_TEXT = 2_000  # Discord takes 4,096, but then there is little room for the rest
MAX_FIELDS = 25
MAX_NAME = 256
MAX_VALUE = 1_024
MAX_TAGS = 500  # ours
ROWS, COLUMNS, CELL = 10, 5, 60
COLOURS = {
    "Fatal": 0x7B2CBF,
    "Critical": 0xD00000,
    "High": 0xF3722C,
    "Medium": 0xF9C74F,
    "Low": 0x277DA1,
    "Informational": 0x577590,
}
GREY, GREEN = 0x8D99AE, 0x43AA8B
MARKUP = re.compile(r"[\\*_~`|>#+\-\[\]()<:@.]")
URL = re.compile(
    r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api(?:/v[0-9]{1,2})?/webhooks"
    r"/[0-9]{15,22}/[A-Za-z0-9_-]{20,120}(?:\?thread_id=[0-9]{15,22})?"
)
# https://docs.discord.com/developers/topics/opcodes-and-status-codes#json
BROKEN = {
    10003: "there is no such channel",
    10004: "there is no such server",
    10015: "there is no such webhook",
    10016: "there is no such webhook",
    40001: "the webhook's token is not accepted",
    40002: "the account must be verified",
    40007: "it is banned from the server",
    50001: "it has no access to the channel",
    50008: "nothing can be sent in a channel of this type",
    50013: "it lacks a permission",
    50014: "the webhook's token is not accepted",
    50024: "nothing can be sent in a channel of this type",
    50027: "the webhook's token is not accepted",
    50083: "the thread is archived",
    160005: "the thread is locked",
    160006: "the server has as many open threads as it may have",
    220001: "in such a channel each message must open a thread of its own",
    220003: "a webhook opens threads in forums only",
    220004: "a webhook of this kind can't send to a forum",
}
PASSING = (20016, 20028, 20029, 40004, 40006, 40062, 110001, 130000)
PLAINER = (20009, 40005, 50006, 50035, 50045, 50046, 50109, 200000, 200001, 240000)


def find_code(response: Response) -> str:
    """Return the error code of an answer. A 429 needs none."""
    found = read_answer(response.body).get("code")
    told = isinstance(found, int) and not isinstance(found, bool) and not response.ok
    return str(found) if told and response.status != 429 else ""


def find_words(response: Response) -> str:
    """Return the error message of Discord."""
    return read_text(read_answer(response.body).get("message"))


def read_pause(response: Response) -> float | None:
    """Return the seconds that a 429 asks for, from its body (to the millisecond), or else its header."""
    seconds = read_answer(response.body).get("retry_after")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return min(float(seconds), MAX_RETRY_AFTER)
    return read_retry_after(response, datetime.now(UTC))


ANSWERS = Answers(
    "Discord",
    codes={
        **{str(code): Meaning.BROKEN for code in BROKEN},
        **{str(code): Meaning.PASSING for code in PASSING},
        **{str(code): Meaning.PLAINER for code in PLAINER},
    },
    statuses={400: Meaning.PLAINER, 401: Meaning.BROKEN, 404: Meaning.BROKEN, 413: Meaning.PLAINER},
    why={str(code): why for code, why in BROKEN.items()},
    code=find_code,
    words=find_words,
    pause=read_pause,
)


def check_webhook(url: SecretStr) -> SecretStr:
    """Raise ValueError unless `url` is a webhook of Discord's."""
    if not URL.fullmatch(url.get_secret_value()):
        raise ValueError("a webhook of Discord's begins with https://discord.com/api/webhooks/ and its two parts")
    return url


class DiscordConfig(Config):
    """The URL of a channel's webhook. `?thread_id=` selects a thread."""

    url: Annotated[SecretUrl, AfterValidator(check_webhook)] = Field(max_length=500, title="Webhook URL")


class Discord(DestinationType[DiscordConfig]):
    """Post the event to a channel."""

    key: ClassVar[str] = "discord"
    label: ClassVar[str] = "Discord"
    face = "event_sink"
    Config = DiscordConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {
        "url": "https://discord.com/api/webhooks/10000000000000000/0000000000000000000000"
    }

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message. Discord answers after it has posted the message."""
        (message,) = messages
        given = self.config.url.get_secret_value()
        url = f"{given}{'&' if '?' in given else '?'}wait=true"
        document = {
            "username": "eventsinks",
            "embeds": [message.once("discord", lambda: make_embed(message))],
            "allowed_mentions": {"parse": []},
        }
        return Request("POST", url, (("Content-Type", "application/json"),), orjson.dumps(document))

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return the message without its embed: heading, text, and the link as text."""
        given = orjson.loads(request.body)
        if not given.pop("embeds", None):
            return None
        summary = message.summary
        link = cut(render_line(summary.link), MAX_VALUE)
        told = [
            render_state(summary),
            render_heading(summary, MAX_TITLE),
            *([link] if link else []),
            drop_invisible(summary.text),
        ]
        return request._replace(
            body=orjson.dumps({**given, "content": escape_markdown("\n".join(told), MAX_TEXT)})
        )


def make_embed(message: Message) -> dict[str, Any]:
    """Return the message: title with the link, severity, description, facts, rows, tags."""
    summary = message.summary
    title = escape_markdown(render_heading(summary, MAX_TITLE), MAX_TITLE)
    text = escape_markdown(drop_invisible(summary.text), MAX_TEXT)
    found: dict[str, Any] = {
        "title": title,
        "color": COLOURS.get(summary.severity, GREY) if summary.status == "firing" else GREEN,
        "timestamp": message.occurred_at.isoformat(),
    }
    found["fields"], left = make_fields(summary, MAX_EMBED - sum(map(measure_length, (title, text))))
    if left:
        found["footer"] = {"text": left}
    if text.strip():
        found["description"] = text
    if url := make_link(summary.link):
        found["url"] = url
    return found


def make_fields(summary: Summary, room: int) -> tuple[list[dict[str, Any]], str]:
    """Return severity, buttons, facts and rows within `room` characters, and how many are left out."""
    told = [("Severity", escape_markdown(render_state(summary), MAX_VALUE), True)]
    told += [
        (label, make_markdown_link(url), True)
        for label, url in find_links(summary)
        if url != make_link(summary.link)
    ]
    told += [(label, escape_markdown(value, MAX_VALUE), True) for label, value in render_pairs(summary)]
    if rows := render_table(summary, ROWS, COLUMNS, CELL):
        told.append((f"{summary.row_count} rows", escape_markdown("\n".join(rows), MAX_VALUE), False))
    if tags := render_line(" · ".join(summary.tags)):
        told.append(("Tags", escape_markdown(tags, MAX_TAGS), False))
    found: list[dict[str, Any]] = []
    room -= measure_length(render_more(MAX_WAYS))
    for name, value, inline in told:
        name, value = escape_markdown(name, MAX_NAME), value if value.strip() else "–"
        room -= measure_length(name) + measure_length(value)
        if room < 0 or len(found) == MAX_FIELDS:
            break
        found.append({"name": name, "value": value, "inline": inline})
    return found, render_more(len(told) - len(found))


def make_markdown_link(url: str) -> str:
    """Return a link to `url` that no character ends early. If a field can't hold the link, return its text."""
    found = f"[Open]({url.replace('(', '%28').replace(')', '%29')})"
    return found if measure_length(found) <= MAX_VALUE else escape_markdown(url, MAX_VALUE)


def escape_markdown(text: str, limit: int) -> str:
    """Return `text` so that Discord shows it literally, at most `limit` characters with its escapes."""
    return escape(text, limit, lambda character: f"\\{character}" if MARKUP.match(character) else character)
