"""Rendering an event for people: the common parts of chat and ticket types."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import orjson

from eventsinks.event_types.base import Summary
from eventsinks.lib.net.urls import encode_url

# Control characters, and those that change the direction of writing. They make a text look like another.
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
MAX_LINK = 2_000  # characters
MAX_WAYS = 50  # more than there are
TO_THE_EVENT = "View in Scanner"
MAX_REASON = 300  # characters of what a service says of a failure

Pairs = list[tuple[str, str]]


def render_heading(summary: Summary, limit: int) -> str:
    """Return the title on one line, never empty."""
    return cut(render_line(summary.title) or "(untitled)", limit)


def render_state(summary: Summary) -> str:
    """Return the severity, and whether it is over."""
    return summary.severity if summary.status == "firing" else f"{summary.severity} · {summary.status}"


def render_pairs(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> Pairs:
    """Return labels and values: the infos, the links that can't be followed, and the facts.

    `limit` and `most` are those of `find_ways`. If there are several rows, the table replaces the facts.
    """
    facts = summary.facts if len(summary.rows) < 2 else ()
    if facts and summary.row_count > 1:
        facts = (*facts, ("Rows", f"1 of {summary.row_count}"))
    return name_pairs((*summary.info, *find_ways(summary, limit, most)[1], *facts))


def name_pairs(found: Iterable[tuple[str, str]]) -> Pairs:
    """Return labels and values for showing, without empty ones."""
    shown = [(render_line(label), drop_invisible(value)) for label, value in found]
    return [(label or "–", value) for label, value in shown if label or value.strip()]


def find_links(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> Pairs:
    """Return the links that can be followed, as label and URL."""
    return find_ways(summary, limit, most)[0]


def find_ways(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> tuple[Pairs, Pairs]:
    """Return two lists: at most `most` links to the event and the actions, and all other links.

    The others become text, so that none is lost. `limit` is the longest URL in characters.
    """
    followed: Pairs = []
    told: Pairs = []
    to_the_event = [(TO_THE_EVENT, summary.link)] if summary.link.strip() else []
    for label, text in (*to_the_event, *summary.actions):
        url = make_link(text, limit)
        if url and len(followed) < most:
            followed.append((render_line(label) or "Open", url))
        else:
            told.append((label, text))
    return followed, told


def make_link(text: str, limit: int = MAX_LINK) -> str:
    """Return a text as a URL that can be followed: http or https, in ASCII, without credentials, not too long.

    Return "" if it is not such a URL.
    """
    try:
        url = encode_url(text)
    except ValueError:
        return ""
    return url if len(url) <= limit else ""


def render_more(left: int) -> str:
    """Return how many things are left out, "" if there are none."""
    return f"… and {left} more" if left > 0 else ""


def render_rows(summary: Summary, rows: int, columns: int, limit: int) -> list[list[str]]:
    """Return the first rows under their columns, with cut cells. Return nothing for fewer than two rows."""
    if len(summary.rows) < 2 or not summary.columns:
        return []
    lines = [summary.columns[:columns], *(row[:columns] for row in summary.rows[:rows])]
    return [[cut(render_line(cell), limit) or "–" for cell in line] for line in lines]


def render_left_out(summary: Summary, shown: int) -> str:
    """Return how many rows there are beside the `shown` ones, "" if there are none."""
    left = max(summary.row_count, len(summary.rows)) - shown
    return f"and {left} more rows" if left > 0 else ""


def render_table(summary: Summary, rows: int, columns: int, limit: int) -> list[str]:
    """Return the table as lines of text. The last line says how many rows are left out."""
    lines = [" | ".join(line) for line in render_rows(summary, rows, columns, limit)]
    more = render_left_out(summary, len(lines) - 1)
    return [*lines, more] if lines and more else lines


def render_letter(summary: Summary, text: int, rows: int, columns: int = 8) -> str:
    """Return the event as plain text: its state, at most `text` characters of its text, and labels with values.

    The links come early, because a service without room for everything cuts the end.
    """
    known = [f"{label}: {cut(value, 1_000)}" for label, value in render_pairs(summary)]
    led = [f"{label}: {url}" for label, url in find_links(summary)]
    tags = [cut(render_line(" · ".join(summary.tags)), 500)]
    said = [[render_state(summary)], [cut(drop_invisible(summary.text), text)], led, known]
    found = render_table(summary, rows, columns, 100)
    return "\n\n".join("\n".join(part) for part in (*said, found, tags) if "".join(part).strip())


def drop_invisible(text: str) -> str:
    """Return `text` without invisible characters."""
    return HIDDEN.sub("", text)


def render_line(text: str) -> str:
    """Return `text` on one line, without invisible characters."""
    return " ".join(HIDDEN.sub(" ", text).split())


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`. A cut ends with an ellipsis."""
    return escape(text, limit, str)


def escape(text: str, limit: int, escape: Callable[[str], str]) -> str:
    """Return `text` with each character escaped, at most `limit` characters. A cut divides no escape.

    The count is that of UTF-16, which is the highest that a service may use.
    """
    pieces = [escape(character) for character in text[: limit + 1]]
    ends = list(accumulate(map(measure_length, pieces)))
    if not ends or ends[-1] <= limit:
        return "".join(pieces)
    return "".join(pieces[: bisect_right(ends, limit - 1)]) + "…" if limit > 0 else ""


def measure_length(text: str) -> int:
    """Return the length of `text` in UTF-16."""
    return len(text) + sum(character > "\uffff" for character in text)


def read_answer(body: bytes) -> dict[str, Any]:
    """Return a service's answer. It is empty if it is not a JSON object."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def read_text(value: Any) -> str:
    """Return a text of an answer, short enough for a reason. It is empty if `value` is not a text."""
    return cut(render_line(value), MAX_REASON) if isinstance(value, str) else ""
