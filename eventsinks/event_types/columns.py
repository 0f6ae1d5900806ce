"""Columns: the short texts of an event that its row has beside its data, so that people find it by them."""

from __future__ import annotations

from collections.abc import Sequence

MAX_TITLE = 200  # characters
MAX_RULE = 200
MAX_KEY = 255
MAX_TAGS = 1_000  # of all tags together


def write_column(text: str, most: int) -> str:
    """Return the first `most` characters of a text. What can't be printed is a space: no database takes a NUL."""
    text = text[:most]
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def write_tags(tags: Sequence[str]) -> str:
    """Return the first tags, one a line, together of MAX_TAGS characters at most."""
    if not tags:
        return ""
    lines = "\n".join(tags if "".join(tags).isprintable() else [write_column(tag, MAX_TAGS) for tag in tags])
    return lines if len(lines) <= MAX_TAGS else lines[: MAX_TAGS + 1].rpartition("\n")[0]
