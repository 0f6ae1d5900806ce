"""Documents as a page shows them: JSON with line breaks, cut to a length."""

from __future__ import annotations

import orjson

from eventsinks.lib.numbers import dumps, parse

SHOWN = 200_000  # characters of a document that a page shows


def indent_json(raw: bytes) -> str:
    """Return JSON with line breaks, for reading. Destinations get the original bytes."""
    try:
        return dumps(parse(raw), orjson.OPT_INDENT_2).decode()
    except (ValueError, TypeError, RecursionError):  # it was accepted before JSON was read strictly
        return raw.decode("utf-8", "replace")


def cut_text(text: str) -> str:
    """Return a text, cut if it is too long for a page."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\n… ({len(text):,} characters in all)"
