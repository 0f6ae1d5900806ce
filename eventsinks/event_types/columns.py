"""Columns: the short texts of an event that its row has beside its data, so that people find it by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MAX_TITLE = 200  # characters
MAX_RULE = 200
MAX_KEY = 255
MAX_TAGS = 1_000  # of all tags together


class Columns(NamedTuple):
    """What people find an event by. Texts are "" and `severity` is None where the type has none.

    `severity` is a number of severities.py. `tags` are one a line.
    """

    title: str = ""
    severity: int | None = None
    rule: str = ""
    status: str = ""
    dedup_key: str = ""
    tags: str = ""


NO_COLUMNS = Columns()


def write_column(text: str, most: int) -> str:
    """Return the first `most` characters of a text. What can't be printed is a space: no database takes a NUL."""
    if len(text) <= most and text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text[:most])


def write_tags(tags: Sequence[str]) -> str:
    """Return the first tags, one a line, together of MAX_TAGS characters at most."""
    if not tags:
        return ""
    lines = "\n".join(tags if "".join(tags).isprintable() else [write_column(tag, MAX_TAGS) for tag in tags])
    return lines if len(lines) <= MAX_TAGS else lines[: MAX_TAGS + 1].rpartition("\n")[0]
