"""Ordering keys in CEL (https://cel.dev): the value of an expression over an event names the line of its delivery.

An expression is compiled once, within the limits of filters. After that it never raises an error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import orjson

from eventsinks.lib.filters.asked import Asked, count_filter_steps
from eventsinks.lib.filters.cel_text import find_patterns
from eventsinks.lib.filters.event_filter import (
    BadFilter,
    check_names,
    check_patterns,
    check_text,
    compile_text,
    explain_error,
)
from eventsinks.lib.filters.pattern import count_pattern_steps
from eventsinks.lib.size import Size

MAX_KEY = 10_000  # characters of a value's text; a longer text is not a key


class BadKey(ValueError):
    """A text is not an expression for a key. The message says where and why, for people."""


class EventKey:
    """A compiled expression for a key. Raises BadKey.

    Usage:

        EventKey('source + "/" + user.name').of({"source": "okta", "user": {"name": "ann"}})  # "okta/ann"
    """

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._shape = check_text(text)
            self._program = compile_text(text)
            check_names(self._program)
            check_patterns(text, self._shape)
        except BadFilter as error:
            raise BadKey(str(error).replace("a filter", "an ordering key")) from None
        self._pattern_steps = sum(map(count_pattern_steps, find_patterns(text)))
        self._names = frozenset(self._program.variables())
        if not self._names:
            raise BadKey(self._without_names())

    def of(self, document: Mapping[str, Any] | Asked) -> str:
        """Return the text of its value for `document`. It is "", which means no key, for null or after an error.

        Never raises, whatever the document contains. `alert` stands for the whole document. A caller that needs
        several keys of the same document passes it as Asked, so that they share the cost.
        """
        asked = document if isinstance(document, Asked) else Asked(document)
        with asked.budget:
            if asked.refusal(self._names, self._steps):
                return ""
        try:
            return write_value(self._program.execute(asked.context))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # a panic of the engine is not an Exception
            return ""

    def _steps(self, size: Size) -> int:
        return count_filter_steps(len(self._text), self._shape, self._pattern_steps, size)

    def _without_names(self) -> str:
        try:
            self._program.execute({})
        except Exception as error:
            return f"the ordering key can't be evaluated: {explain_error(error)}"
        return "the ordering key names no field of the event: all events would have the same one"


@functools.lru_cache(maxsize=1000)
def get_key(text: str) -> EventKey:
    """Return the expression of a text, compiled once. Raises BadKey."""
    return EventKey(text)


def write_value(value: Any) -> str:
    """Return a text as it is, any other value as JSON with sorted keys, and "" for null or too long a text."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    return value if len(value) <= MAX_KEY else ""
