"""Microsoft Teams: one Adaptive Card each to a workflow's webhook.

https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook,
https://adaptivecards.io/explorer. Text of an event is in text runs, which have no Markdown. A card mentions only
the people in its `msteams` entities, and our card has no entities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import orjson
from pydantic import Field

from eventsinks.destinations.base import (
    Answers,
    Config,
    DestinationType,
    Meaning,
    Message,
    SecretUrl,
)
from eventsinks.destinations.base.rendering import (
    cut,
    drop_invisible,
    find_links,
    read_answer,
    read_text,
    render_heading,
    render_left_out,
    render_line,
    render_more,
    render_pairs,
    render_rows,
    render_state,
)
from eventsinks.event_types.base import Summary
from eventsinks.lib.net.wire import Request, Response

# Teams stores a card as a text of at most 28 KB, where each quote needs two bytes. A request of 24 KB got a 202,
# but was never shown (https://github.com/MicrosoftDocs/msteams-docs/issues/11274).
MAX_MESSAGE = 20_000  # bytes of the whole message
MAX_KEPT = 27_000  # bytes of it as a text; 28,672 are taken
MAX_TITLE = 200  # characters; ours, as are those below
MAX_LABEL = 100
# The characters of each text, and the number of facts, rows and buttons. A card that is too large is made again,
# shorter.
SIZES = ((6_000, 20, 10, 6), (3_000, 12, 5, 6), (1_000, 8, 0, 6), (400, 4, 0, 2), (200, 2, 0, 1))
COLUMNS = 5
TOO_OLD = (
    "An alert has come that this version of Teams can't show."  # nothing of the event: it is read as Markdown
)
STYLES = {"Fatal": "attention", "Critical": "attention", "High": "attention", "Medium": "warning"}
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
# https://learn.microsoft.com/en-us/azure/logic-apps/logic-apps-workflow-actions-triggers: the flow is off or gone,
# or the signature in its URL is not the one.
BROKEN = """
AuthorizationFailed DirectApiAuthorizationRequired DirectApiInvalidAuthorizationScheme
DirectApiRequestHasMoreThanOneAuthorization InvalidSasToken TriggerRequestMethodNotValid Unauthorized
WorkflowDisabled WorkflowNotFound WorkflowTriggerIsNotEnabled WorkflowTriggerNotFound
"""

Element = dict[str, Any]


def find_error(response: Response) -> dict[str, Any]:
    """Return the error in an answer, empty if there is none."""
    found = read_answer(response.body).get("error")
    return found if isinstance(found, dict) and not response.ok else {}


def find_code(response: Response) -> str:
    """Return the error code in an answer."""
    return read_text(find_error(response).get("code"))


def find_words(response: Response) -> str:
    """Return the error code in an answer, or else its message."""
    return find_code(response) or read_text(find_error(response).get("message"))


ANSWERS = Answers(
    "Teams",
    codes=dict.fromkeys(BROKEN.split(), Meaning.BROKEN),
    statuses={
        400: Meaning.PLAINER,
        401: Meaning.BROKEN,
        403: Meaning.BROKEN,
        404: Meaning.BROKEN,
        413: Meaning.PLAINER,
    },
    code=find_code,
    words=find_words,
    trouble_from=600,  # a flow that is not there is told by a 503, too
)


class TeamsConfig(Config):
    """The signed URL of a workflow. The workflow knows the channel."""

    url: SecretUrl = Field(
        max_length=2_000,
        title="Workflow URL",
        description="The HTTP POST URL of “When a webhook request is received”.",
    )


class Teams(DestinationType[TeamsConfig]):
    """Post the event as a card to a channel or chat."""

    key: ClassVar[str] = "teams"
    label: ClassVar[str] = "Microsoft Teams"
    face = "event_sink"
    Config = TeamsConfig
    answers = ANSWERS
    example: ClassVar[Mapping[str, Any]] = {"url": "https://example.com/"}

    def build(self, messages: Sequence[Message], at: datetime) -> Request:
        """Return the POST of one card, as long as Teams accepts."""
        (message,) = messages
        body = message.once("teams", lambda: make_body(message.summary))
        return Request("POST", self.config.url.get_secret_value(), (("Content-Type", "application/json"),), body)

    def in_words(self, message: Message, request: Request) -> Request | None:
        """Return a card of two lines: heading and state."""
        plain = orjson.dumps(make_envelope(make_shortest_card(message.summary)))
        return request._replace(body=plain) if request.body != plain else None


def make_body(summary: Summary) -> bytes:
    """Return the longest card that Teams accepts. If it accepts no other, the card has two lines."""
    cards = (*(partial(make_card, summary, *size) for size in SIZES), partial(make_shortest_card, summary))
    bodies = (orjson.dumps(make_envelope(made())) for made in cards)
    return next(body for body in bodies if fits(body))


def fits(body: bytes) -> bool:
    """Whether Teams will show a message. It may accept a message and not show it."""
    return len(body) <= MAX_MESSAGE and len(orjson.dumps(body.decode())) <= MAX_KEPT


def make_envelope(card: Element) -> Element:
    """Return the message with one card."""
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def make_card(summary: Summary, limit: int, facts: int, rows: int, buttons: int) -> Element:
    """Return the card with texts of at most `limit` characters."""
    style = STYLES.get(summary.severity, "default") if summary.status == "firing" else "good"
    head = [
        make_text(render_heading(summary, MAX_TITLE), weight="Bolder", size="Large"),
        make_text(render_state(summary), isSubtle=True),
    ]
    body: list[Element] = [{"type": "Container", "style": style, "bleed": True, "items": head}]
    if summary.text.strip():
        body.append(make_text(cut(drop_invisible(summary.text), limit)))
    known = render_pairs(summary, most=buttons)
    body += [make_fact(label, value, limit) for label, value in known[:facts]]
    if left := render_more(len(known) - facts):
        body.append(make_text(left, isSubtle=True))
    body += make_table(summary, rows, min(limit, 200))
    if tags := render_line(" · ".join(summary.tags)):
        body.append(make_text(cut(tags, 500), isSubtle=True, size="Small"))
    return {
        "$schema": SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.5",
        "msteams": {"width": "Full"},
        "fallbackText": TOO_OLD,
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": escape_text(cut(label, MAX_LABEL)), "url": url}
            for label, url in find_links(summary, most=buttons)
        ],
    }


def make_shortest_card(summary: Summary) -> Element:
    """Return the shortest card: heading and state."""
    lines = [make_text(render_heading(summary, MAX_TITLE), weight="Bolder"), make_text(render_state(summary))]
    return {"$schema": SCHEMA, "type": "AdaptiveCard", "version": "1.2", "fallbackText": TOO_OLD, "body": lines}


def make_text(words: str, **look: Any) -> Element:
    """Return a paragraph without markup."""
    return {"type": "RichTextBlock", "inlines": [make_run(words, **look)]}


def make_run(words: str, **look: Any) -> Element:
    """Return a stretch of text."""
    return {"type": "TextRun", "text": escape_text(words), **look}


def escape_text(words: str) -> str:
    """Return `words` without the beginning of `{{DATE(…)}}`, which even a text run would replace."""
    return re.sub(r"\{(?=\{)", "{\u2060", words)


def make_fact(label: str, value: str, limit: int) -> Element:
    """Return a label with its value."""
    name = make_run(cut(label, MAX_LABEL), weight="Bolder")
    return {"type": "RichTextBlock", "inlines": [name, make_run(": " + cut(value, min(limit, 1_000)))]}


def make_table(summary: Summary, rows: int, limit: int) -> list[Element]:
    """Return the first rows as a table, and how many are left out."""
    lines = render_rows(summary, rows, COLUMNS, limit) if rows else []
    if not lines:
        return []
    cells = [[{"type": "TableCell", "items": [make_text(cell)]} for cell in line] for line in lines]
    found: Element = {
        "type": "Table",
        "firstRowAsHeader": True,
        "columns": [{"width": 1} for _ in lines[0]],
        "rows": [{"type": "TableRow", "cells": line} for line in cells],
    }
    left = render_left_out(summary, len(lines) - 1)
    return [found, make_text(left, isSubtle=True)] if left else [found]
