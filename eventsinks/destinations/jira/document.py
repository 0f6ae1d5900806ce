"""An event as an Atlassian document, in whose text nodes nothing is markup.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from typing import Any

from eventsinks.destinations.base.rendering import (
    cut,
    heading,
    links,
    more,
    one_line,
    pairs,
    state,
    table,
    untold,
    visible,
)
from eventsinks.event_types.base import Summary

MAX_FIELD = 32_767  # characters of a description or a comment; ours come to less
MAX_TEXT = 10_000  # characters of the text; ours, as are those below
MAX_FACTS, MAX_VALUE, MAX_LABEL = 20, 300, 100
MAX_LINKS = 5
ROWS, COLUMNS, CELL = 10, 6, 80

Node = dict[str, Any]


def document(summary: Summary, head: bool = False) -> Node:
    """Return the event; with `head` its title stands above it."""
    first = [paragraph(text(heading(summary, 255), strong=True))] if head else []
    content = [*first, paragraph(text(state(summary)))]
    lines = [line for line in cut(visible(summary.text), MAX_TEXT).split("\n") if line.strip()]
    content += [paragraph(text(line)) for line in lines]
    known = [
        [text(cut(label, MAX_LABEL) + ": ", strong=True), text(cut(value, MAX_VALUE))]
        for label, value in pairs(summary, most=MAX_LINKS)
    ]
    if known:
        left = more(len(known) - MAX_FACTS)
        content.append(bullets([*known[:MAX_FACTS], *([[text(left)]] if left else [])]))
    content += grid(summary)
    ways = [[text(cut(label, MAX_LABEL), link=url)] for label, url in links(summary, most=MAX_LINKS)]
    if ways:
        content.append(bullets(ways))
    if tags := one_line(" · ".join(summary.tags)):
        content.append(paragraph(text(cut(tags, 500))))
    return {"type": "doc", "version": 1, "content": content}


def one_paragraph(line: str) -> Node:
    """Return a line as a document."""
    return {"type": "doc", "version": 1, "content": [paragraph(text(line))]}


def grid(summary: Summary) -> list[Node]:
    """Return the first rows as a table, with how many are left out."""
    head, *rows = table(summary, ROWS, COLUMNS, CELL) or [[]]
    if not head:
        return []
    lines = [row(head, "tableHeader"), *(row(cells, "tableCell") for cells in rows)]
    left = untold(summary, len(rows))
    return [{"type": "table", "content": lines}, *([paragraph(text(left))] if left else [])]


def row(cells: list[str], sort: str) -> Node:
    """Return one row of a table."""
    return {"type": "tableRow", "content": [{"type": sort, "content": [paragraph(text(cell))]} for cell in cells]}


def bullets(items: list[list[Node]]) -> Node:
    """Return a list of lines."""
    return {
        "type": "bulletList",
        "content": [{"type": "listItem", "content": [paragraph(*item)]} for item in items],
    }


def paragraph(*inside: Node) -> Node:
    """Return one paragraph."""
    return {"type": "paragraph", "content": [node for node in inside if node["text"]]}


def text(words: str, *, strong: bool = False, link: str = "") -> Node:
    """Return a text node, bold or leading somewhere. One without text is not allowed, and left out above."""
    marks = [{"type": "strong"}] if strong else []
    marks += [{"type": "link", "attrs": {"href": link}}] if link else []  # type: ignore[dict-item]
    return {"type": "text", "text": words, **({"marks": marks} if marks else {})}
