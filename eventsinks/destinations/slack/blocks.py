"""A message of Slack: https://docs.slack.dev/block-kit.

The title is on top, where no client hides it. The rest is in an attachment, because only attachments have a
coloured bar. Text of an event is plain text or the text of a `rich_text`, never mrkdwn. It can't mention anybody,
become an emoji or spoof a link.
"""

from __future__ import annotations

import re
from itertools import chain, zip_longest
from typing import Any

from slack_sdk.models import blocks as kit
from slack_sdk.models.blocks import RichTextElementParts

from eventsinks.destinations.base import rendering
from eventsinks.destinations.base.rendering import (
    TO_THE_EVENT,
    Pairs,
    cut,
    drop_invisible,
    measure_length,
    render_line,
)
from eventsinks.event_types.base import Summary

MARKS = {"Fatal": "🟣", "Critical": "🔴", "High": "🟠", "Medium": "🟡", "Low": "🔵"}
COLOURS = {
    "Fatal": "#7b2cbf",
    "Critical": "#d00000",
    "High": "#f3722c",
    "Medium": "#f9c74f",
    "Low": "#277da1",
    "Informational": "#577590",
}
Text = RichTextElementParts.Text
Link = RichTextElementParts.Link
GREY = "#8d99ae"
BOLD = RichTextElementParts.TextStyle(bold=True)
# The marks and colours of an incident that somebody handles, and of one that is over.
STATES = {"acknowledged": ("👀", "#4d96ff"), "resolved": ("✅", "#43aa8b")}
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
EMOJI = re.compile(r":(?=[^\s:]+:)")  # the beginning of a `:fire:`

MAX_TEXTS = 9_500  # characters of all blocks; from about 10,000 they are too long for Slack
MAX_LINKS = 4_000  # characters of them that URLs may take
MAX_TITLE = 150
MAX_STATUS = 150
MAX_TEXT = 1_500  # Slack takes 3,000, but on a phone the buttons would be pages away
MAX_FIELD = 2_000
MAX_FIELDS = kit.SectionBlock.fields_max_length
MAX_INFO = 35  # sections; with all other blocks they are fewer than 50
MAX_LABEL = kit.ButtonElement.text_max_length
MAX_URL = kit.ButtonElement.url_max_length
MAX_BUTTONS = kit.ActionsBlock.elements_max_length
MAX_TAGS = 250
MAX_FALLBACK = 500  # characters of what a notification shows
ROWS, COLUMNS, CELL = 5, 6, 60


def make_slack_message(summary: Summary, status: str | None = None) -> dict[str, Any]:
    """Return `text` (for the notification), `blocks` and `attachments`.

    `status` replaces the status of the summary, such as `resolved` or `acknowledged by Jo`. Its first word decides
    the colour.
    """
    state = render_line(status or summary.status)
    mark, colour = choose_look(summary.severity, state)
    line = make_status_line(summary.severity, state)
    told = BlockWriter(summary, line)
    return {
        "text": escape_notification(f"{mark} {line}: {rendering.render_heading(summary, MAX_FALLBACK)}"),
        "blocks": [block.to_dict() for block in told.head(mark)],
        "attachments": [
            {"color": colour, "blocks": [block.to_dict() for block in found]}
            for found in (told.body(), told.table())
            if found
        ],
    }


def choose_look(severity: str, state: str) -> tuple[str, str]:
    """Return the mark and the colour of a message."""
    word = state.partition(" ")[0].lower()
    return STATES.get(word) or (MARKS.get(severity, "⚪"), COLOURS.get(severity, GREY))


def make_status_line(severity: str, state: str) -> str:
    """Return the severity, and whether somebody handles it or it is over."""
    word = render_line(severity) or "Unknown"
    return cut(word if state in ("", "firing") else f"{word} · {state}", MAX_STATUS)


class BlockWriter:
    """Writes a summary as blocks. All blocks share the characters that Slack allows in a message."""

    def __init__(self, summary: Summary, status: str) -> None:
        self.summary, self.status = summary, status
        self.title = rendering.render_heading(summary, MAX_TITLE)
        self.tags = escape_text(render_line(" · ".join(summary.tags)), MAX_TAGS)
        self.rows = rendering.render_rows(summary, ROWS, COLUMNS, CELL)
        self.link, self.ways, self.dead = find_links(summary)
        fixed = (self.title, status, self.tags, self.link, *chain(*self.ways), *chain(*self.rows))
        self.room = MAX_TEXTS - sum(map(measure_length, fixed))

    def head(self, mark: str) -> list[kit.Block]:
        """Return the title, with the link to the event."""
        title = Link(url=self.link, text=self.title, style=BOLD) if self.link else make_strong(self.title)
        return [make_rich_text(Text(text=f"{mark} "), title)]

    def body(self) -> list[kit.Block]:
        """Return status, description, texts of the rule's template, the only row, buttons, tags."""
        text = escape_text(self.summary.text, min(MAX_TEXT, self.room // 2))
        found: list[kit.Block] = [kit.SectionBlock(text=escape_mrkdwn(escape_text(self.status, MAX_STATUS)))]
        if text.strip():
            found.append(kit.SectionBlock(text=escape_mrkdwn(text)))
        found += self.known(self.room - measure_length(text))
        if count := self.count():
            found.append(make_small_print(count))
        if self.ways:
            found.append(kit.ActionsBlock(elements=[make_button(label, url) for label, url in self.ways]))
        return [*found, make_small_print(self.tags)] if self.tags else found

    def known(self, room: int) -> list[kit.Block]:
        """Return sections and fields, each with the same share of `room`, and how many are left out."""
        info = rendering.name_pairs((*self.summary.info, *self.dead))
        facts = rendering.name_pairs(self.summary.facts) if not self.rows else []
        shown = len(info[:MAX_INFO]) + len(facts[:MAX_FIELDS])
        limit = min(MAX_FIELD, room // max(shown, 1))
        found: list[kit.Block] = [make_section(label, value, limit) for label, value in info[:MAX_INFO]]
        if facts:
            fields = [
                escape_mrkdwn(escape_text(f"{label}\n{value}", limit)) for label, value in facts[:MAX_FIELDS]
            ]
            found.append(kit.SectionBlock(fields=fields))
        left = len(info) + len(facts) - shown
        return [*found, make_small_print(rendering.render_more(left))] if left else found

    def table(self) -> list[kit.Block]:
        """Return the first rows. A message has one table, and Slack shows it last."""
        if not self.rows:
            return []
        first, *rest = self.rows
        cells = [[make_rich_text(make_strong(text)) for text in first]]
        cells += [
            [make_rich_text(Text(text=text or "–")) for _, text in zip_longest(first, row[: len(first)])]
            for row in rest
        ]
        wrapped = [kit.TableBlockColumnSettings(is_wrapped=True) for _ in first]
        return [kit.TableBlock(rows=cells, column_settings=wrapped)]

    def count(self) -> str:
        """Return how many of the rows are shown. Return nothing for a single row."""
        shown = max(len(self.rows) - 1, len(self.summary.rows[:1]))
        total = max(self.summary.row_count, len(self.summary.rows))
        if total < 2:
            return ""
        return f"… {shown} of {total} rows" if 0 < shown < total else f"{total} rows"


def find_links(summary: Summary) -> tuple[str, Pairs, Pairs]:
    """Return the link of the title, the buttons, and the links that become text.

    There are as many buttons as there is room for. All other links become text, also those that can't be followed.
    """
    link = rendering.make_link(summary.link, MAX_URL)
    room = MAX_LINKS - measure_length(link)
    ways: Pairs = []
    dead: Pairs = [(TO_THE_EVENT, summary.link)] if summary.link.strip() and not link else []
    for label, text in [*summary.actions, *([(TO_THE_EVENT, link)] if link else [])]:
        name, url = escape_text(render_line(label) or "Open", MAX_LABEL), rendering.make_link(text, MAX_URL)
        if url and measure_length(name) + measure_length(url) <= room and len(ways) < MAX_BUTTONS:
            ways.append((name, url))
            room -= measure_length(name) + measure_length(url)
        elif not url or url != link:  # the title leads there already
            dead.append((label, text))
    return link, ways, dead


def make_section(label: str, value: str, limit: int) -> kit.RichTextBlock:
    """Return a label with its text below, of at most `limit` characters together."""
    name = cut(label, min(MAX_LABEL, limit))
    text = cut(value, limit - measure_length(name) - 1).strip()
    return make_rich_text(make_strong(name), Text(text=f"\n{text or '–'}"))


def make_button(label: str, url: str) -> kit.ButtonElement:
    """Return a button that opens `url`."""
    return kit.ButtonElement(text=escape_mrkdwn(label), url=url)


def make_rich_text(*elements: Text | Link) -> kit.RichTextBlock:
    """Return a paragraph with literal texts: Slack reads no markup and no entities in it."""
    return kit.RichTextBlock(elements=[kit.RichTextSectionElement(elements=elements)])


def make_strong(text: str) -> Text:
    """Return `text` in bold."""
    return Text(text=text, style=BOLD)


def make_small_print(text: str) -> kit.ContextBlock:
    """Return small print."""
    return kit.ContextBlock(elements=[escape_mrkdwn(text)])


def escape_mrkdwn(text: str) -> kit.PlainTextObject:
    """Return `text` without markup for Slack, not even `:fire:`."""
    return kit.PlainTextObject(text=text, emoji=False)


def escape_notification(text: str) -> str:
    """Return the text of a notification. Each `:fire:` is broken up: Slack would make an emoji of it."""
    return escape_text(EMOJI.sub(":\u2060", text), MAX_FALLBACK)


def escape_text(text: str, limit: int) -> str:
    """Return `text` with Slack's control characters as entities, cut after `limit` characters.

    A cut ends with an ellipsis, and divides no entity.
    """
    return rendering.escape(drop_invisible(text), limit, lambda character: ENTITIES.get(character, character))
