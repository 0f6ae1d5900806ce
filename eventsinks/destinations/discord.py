"""Discord: one embed each through https://docs.discord.com/developers/resources/webhook#execute-webhook.

All text of an embed is Markdown, so each character that means something to it is escaped, and nobody is mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import AfterValidator, Field, SecretStr

from eventsinks.destinations.base import (
    MAX_RETRY_AFTER,
    Config,
    DestinationGone,
    DestinationType,
    EventRefused,
    Message,
    Receipt,
    SecretUrl,
    SendFailure,
    Temporary,
    judged,
)
from eventsinks.destinations.telling import (
    answer,
    escaped,
    heading,
    length,
    links,
    one_line,
    pairs,
    said,
    state,
    told_table,
    visible,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.wire import Request, Response

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
# https://docs.discord.com/developers/topics/opcodes-and-status-codes#json: an unknown channel or webhook, no
# access, an invalid webhook token, and a channel in which every message must open a thread of its own.
GONE = (10003, 10015, 50001, 50013, 50027, 220001)


def check_webhook(url: SecretStr) -> SecretStr:
    """Raise ValueError unless `url` is a webhook of Discord's."""
    if not URL.fullmatch(url.get_secret_value()):
        raise ValueError("a webhook of Discord's begins with https://discord.com/api/webhooks/ and its two parts")
    return url


class DiscordConfig(Config):
    """Which channel is posted to: the URL of its webhook says it all. `?thread_id=` picks a thread of it."""

    url: Annotated[SecretUrl, AfterValidator(check_webhook)] = Field(max_length=500, title="Webhook URL")


class Discord(DestinationType[DiscordConfig]):
    """Post the event to a channel."""

    key: ClassVar[str] = "discord"
    label: ClassVar[str] = "Discord"
    face = "event_sink"
    Config = DiscordConfig
    example: ClassVar[Mapping[str, Any]] = {
        "url": "https://discord.com/api/webhooks/10000000000000000/0000000000000000000000"
    }

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one message, which Discord answers only when it is there."""
        (message,) = messages
        given = self.config.url.get_secret_value()
        url = f"{given}{'&' if '?' in given else '?'}wait=true"
        document = {
            "username": "eventsinks",
            "embeds": [embed(message)],
            "allowed_mentions": {"parse": []},
        }
        return Request("POST", url, (("Content-Type", "application/json"),), orjson.dumps(document))

    def read(self, response: Response, messages: Sequence[Message]) -> Receipt:
        """Return the receipt of a 2xx; raise what anything else means."""
        if response.ok:
            return Receipt(response)
        raise failure(response)


def failure(response: Response) -> SendFailure:
    """Return what an answer that is not 2xx means: its code says it, else its status."""
    found = answer(response.body)
    code = found.get("code")
    reason = f"Discord answered {response.status}: {said(found.get('message')) or 'no reason given'}"
    if response.status == 429:
        return Temporary(reason, response, pause(found.get("retry_after"), response))
    if response.status in (401, 404) or (code in GONE and response.status < 500):
        return DestinationGone(reason, response)
    if response.status in (400, 413):
        return EventRefused(reason, response)
    return judged(response)


def pause(seconds: Any, response: Response) -> float | None:
    """Return the seconds that a 429 asks for: in its body to the millisecond, else in its header."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return min(float(seconds), MAX_RETRY_AFTER)
    return getattr(judged(response), "retry_after", None)


def embed(message: Message) -> dict[str, Any]:
    """Return the message: title with the link, severity, description, facts, rows, tags."""
    summary = message.summary
    ways = links(summary)
    title = marked(heading(summary, MAX_TITLE), MAX_TITLE)
    text = marked(visible(summary.text), MAX_TEXT)
    found: dict[str, Any] = {
        "title": title,
        "color": COLOURS.get(summary.severity, GREY) if summary.status == "firing" else GREEN,
        "timestamp": message.occurred_at.isoformat(),
        "fields": fields(summary, MAX_EMBED - sum(map(length, (title, text)))),
    }
    if text.strip():
        found["description"] = text
    if ways and ways[0][1] == summary.link:
        found["url"] = summary.link
    return found


def fields(summary: Summary, room: int) -> list[dict[str, Any]]:
    """Return severity, buttons, facts and rows: as many as there is `room` for, in characters."""
    told = [("Severity", marked(state(summary), MAX_VALUE), True)]
    told += [(label, way(url), True) for label, url in links(summary) if url != summary.link]
    told += [(label, marked(value, MAX_VALUE), True) for label, value in pairs(summary)]
    if rows := told_table(summary, ROWS, COLUMNS, CELL):
        told.append((f"{summary.row_count} rows", marked("\n".join(rows), MAX_VALUE), False))
    if tags := one_line(" · ".join(summary.tags)):
        told.append(("Tags", marked(tags, MAX_TAGS), False))
    found: list[dict[str, Any]] = []
    for name, value, inline in told:
        name, value = marked(name, MAX_NAME), value if value.strip() else "–"
        room -= length(name) + length(value)
        if room < 0 or len(found) == MAX_FIELDS:
            break
        if length(value) <= MAX_VALUE:  # a link can't be cut
            found.append({"name": name, "value": value, "inline": inline})
    return found


def way(url: str) -> str:
    """Return the link to `url`; nothing in it ends the link early."""
    return f"[Open]({url.replace('(', '%28').replace(')', '%29').replace('<', '%3C').replace('>', '%3E')})"


def marked(text: str, limit: int) -> str:
    """Return `text` as Discord shows it to the letter, of at most `limit` characters with its escapes."""
    return escaped(text, limit, lambda character: f"\\{character}" if MARKUP.match(character) else character)
