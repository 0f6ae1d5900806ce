"""How an event is told to people: what several chat and ticket types have in common."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import orjson

from eventsinks.event_types.base import Summary
from eventsinks.lib.net.urls import encode_url

# Control characters, and those that turn the direction of writing: text would look like other text.
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
    """Return how bad it is, and whether it is over."""
    return summary.severity if summary.status == "firing" else f"{summary.severity} · {summary.status}"


def render_pairs(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> Pairs:
    """Return what is known of it, as label and value: its info, the ways that can't be followed, its facts.

    `limit` and `most` are those of `find_ways`. Of several rows, the table tells more than the facts of the first.
    """
    facts = summary.facts if len(summary.rows) < 2 else ()
    if facts and summary.row_count > 1:
        facts = (*facts, ("Rows", f"1 of {summary.row_count}"))
    return name_pairs((*summary.info, *find_ways(summary, limit, most)[1], *facts))


def name_pairs(found: Iterable[tuple[str, str]]) -> Pairs:
    """Return labels and values as they are shown, without those that say nothing."""
    shown = [(render_line(label), drop_invisible(value)) for label, value in found]
    return [(label or "–", value) for label, value in shown if label or value.strip()]


def find_links(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> Pairs:
    """Return the ways that can be followed, as label and URL."""
    return find_ways(summary, limit, most)[0]


def find_ways(summary: Summary, limit: int = MAX_LINK, most: int = MAX_WAYS) -> tuple[Pairs, Pairs]:
    """Return the ways that can be followed, to the event and the actions, `most` of them; and the others.

    Those are to be told as text, so that none is gone. `limit` are the characters that a URL may have.
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
    """Return a text as the URL that can be followed: http or https, in ASCII, without credentials, not too long.

    "" where it can't.
    """
    try:
        url = encode_url(text)
    except ValueError:
        return ""
    return url if len(url) <= limit else ""


def render_more(left: int) -> str:
    """Say how many things are left out; nothing where none is."""
    return f"… and {left} more" if left > 0 else ""


def render_rows(summary: Summary, rows: int, columns: int, limit: int) -> list[list[str]]:
    """Return the first rows under their columns, each cell cut; nothing unless there are two rows at least."""
    if len(summary.rows) < 2 or not summary.columns:
        return []
    lines = [summary.columns[:columns], *(row[:columns] for row in summary.rows[:rows])]
    return [[cut(render_line(cell), limit) or "–" for cell in line] for line in lines]


def render_left_out(summary: Summary, shown: int) -> str:
    """Say how many rows there are beside the `shown` ones; nothing where there are none."""
    left = max(summary.row_count, len(summary.rows)) - shown
    return f"and {left} more rows" if left > 0 else ""


def render_table(summary: Summary, rows: int, columns: int, limit: int) -> list[str]:
    """Return the table as lines of text, with how many rows it leaves out."""
    lines = [" | ".join(line) for line in render_rows(summary, rows, columns, limit)]
    more = render_left_out(summary, len(lines) - 1)
    return [*lines, more] if lines and more else lines


def render_letter(summary: Summary, text: int, rows: int, columns: int = 8) -> str:
    """Return the event as plain text: its state, its text of at most `text` characters, and all that is known.

    Where it leads to stands early: whoever has no room for all of it cuts the end.
    """
    known = [f"{label}: {cut(value, 1_000)}" for label, value in render_pairs(summary)]
    led = [f"{label}: {url}" for label, url in find_links(summary)]
    tags = [cut(render_line(" · ".join(summary.tags)), 500)]
    said = [[render_state(summary)], [cut(drop_invisible(summary.text), text)], led, known]
    found = render_table(summary, rows, columns, 100)
    return "\n\n".join("\n".join(part) for part in (*said, found, tags) if "".join(part).strip())


def drop_invisible(text: str) -> str:
    """Return `text` without what can't be seen."""
    return HIDDEN.sub("", text)


def render_line(text: str) -> str:
    """Return `text` on one line, without what can't be seen."""
    return " ".join(HIDDEN.sub(" ", text).split())


def cut(text: str, limit: int) -> str:
    """Return `text`, of `limit` characters at most; an ellipsis tells of a cut."""
    return escape(text, limit, str)


def escape(text: str, limit: int, escape: Callable[[str], str]) -> str:
    """Return `text` with each character escaped, of `limit` characters at most; no escape is cut in two.

    Characters are counted as UTF-16 does: the most that a service may count.
    """
    pieces = [escape(character) for character in text[: limit + 1]]
    ends = list(accumulate(map(measure_length, pieces)))
    if not ends or ends[-1] <= limit:
        return "".join(pieces)
    return "".join(pieces[: bisect_right(ends, limit - 1)]) + "…" if limit > 0 else ""


def measure_length(text: str) -> int:
    """Return the characters of `text` as UTF-16 counts them."""
    return len(text) + sum(character > "\uffff" for character in text)


def read_answer(body: bytes) -> dict[str, Any]:
    """Return a service's answer, empty where it is no JSON object."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def read_text(value: Any) -> str:
    """Return the text of `value` in an answer, short enough for a reason; empty where it is none."""
    return cut(render_line(value), MAX_REASON) if isinstance(value, str) else ""
