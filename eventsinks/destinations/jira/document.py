"""An event as an Atlassian document. Its text nodes contain no markup.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from typing import Any

from eventsinks.destinations.base.rendering import (
    cut,
    drop_invisible,
    find_links,
    render_heading,
    render_left_out,
    render_line,
    render_more,
    render_pairs,
    render_rows,
    render_state,
)
from eventsinks.event_types.base import Summary

MAX_FIELD = 32_767  # characters of a description or a comment; ours come to less
MAX_TEXT = 10_000  # characters of the text; ours, as are those below
MAX_FACTS, MAX_VALUE, MAX_LABEL = 20, 300, 100
MAX_LINKS = 5
ROWS, COLUMNS, CELL = 10, 6, 80

Node = dict[str, Any]


def make_document(summary: Summary, head: bool = False) -> Node:
    """Return the event. With `head`, its title comes first."""
    first = [make_paragraph(make_text(render_heading(summary, 255), strong=True))] if head else []
    content = [*first, make_paragraph(make_text(render_state(summary)))]
    lines = [line for line in cut(drop_invisible(summary.text), MAX_TEXT).split("\n") if line.strip()]
    content += [make_paragraph(make_text(line)) for line in lines]
    known = [
        [make_text(cut(label, MAX_LABEL) + ": ", strong=True), make_text(cut(value, MAX_VALUE))]
        for label, value in render_pairs(summary, most=MAX_LINKS)
    ]
    if known:
        left = render_more(len(known) - MAX_FACTS)
        content.append(make_bullets([*known[:MAX_FACTS], *([[make_text(left)]] if left else [])]))
    content += make_table(summary)
    ways = [[make_text(cut(label, MAX_LABEL), link=url)] for label, url in find_links(summary, most=MAX_LINKS)]
    if ways:
        content.append(make_bullets(ways))
    if tags := render_line(" · ".join(summary.tags)):
        content.append(make_paragraph(make_text(cut(tags, 500))))
    return {"type": "doc", "version": 1, "content": content}


def make_one_paragraph(line: str) -> Node:
    """Return a line as a document."""
    return {"type": "doc", "version": 1, "content": [make_paragraph(make_text(line))]}


def make_table(summary: Summary) -> list[Node]:
    """Return the first rows as a table, and how many are left out."""
    head, *rows = render_rows(summary, ROWS, COLUMNS, CELL) or [[]]
    if not head:
        return []
    lines = [make_row(head, "tableHeader"), *(make_row(cells, "tableCell") for cells in rows)]
    left = render_left_out(summary, len(rows))
    return [{"type": "table", "content": lines}, *([make_paragraph(make_text(left))] if left else [])]


def make_row(cells: list[str], sort: str) -> Node:
    """Return one row of a table."""
    return {
        "type": "tableRow",
        "content": [{"type": sort, "content": [make_paragraph(make_text(cell))]} for cell in cells],
    }


def make_bullets(items: list[list[Node]]) -> Node:
    """Return a list of lines."""
    return {
        "type": "bulletList",
        "content": [{"type": "listItem", "content": [make_paragraph(*item)]} for item in items],
    }


def make_paragraph(*inside: Node) -> Node:
    """Return one paragraph."""
    return {"type": "paragraph", "content": [node for node in inside if node["text"]]}


def make_text(words: str, *, strong: bool = False, link: str = "") -> Node:
    """Return a text node, which may be bold or a link. Callers leave out empty texts, which are not allowed."""
    marks = [{"type": "strong"}] if strong else []
    marks += [{"type": "link", "attrs": {"href": link}}] if link else []  # type: ignore[dict-item]
    return {"type": "text", "text": words, **({"marks": marks} if marks else {})}
