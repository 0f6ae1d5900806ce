"""The size of a JSON value, measured without recursion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventsinks.lib.numbers import Number


@dataclass(frozen=True, slots=True)
class Size:
    """A size: the length of the longest list or object, the number of values, and the characters.

    `characters` counts those of texts, keys and numbers.
    """

    longest: int = 0
    values: int = 0
    characters: int = 0


def measure_size(values: Iterable[Any], max_depth: int, most: int = 1_000_000_000) -> Size | None:
    """Return the size of all `values` together, or None if one is nested deeper than `max_depth` levels.

    If there are more than `most` values, stop early: the size then only says that there are more. The characters
    of a number are its digits.
    """
    level, longest, count, characters = list(values), 0, 0, 0
    if len(level) == 1 and type(level[0]) is str:  # the most common case
        return Size(0, 1, len(level[0]))
    for _ in range(max_depth + 1):
        objects = [value for value in level if type(value) is dict]
        lists = [value for value in level if isinstance(value, list | tuple)]
        characters += sum([len(value) for value in level if isinstance(value, str | bytes | range)])
        characters += sum([value.bit_length() for value in level if type(value) is int]) // 3
        characters += sum([len(value.text) for value in level if type(value) is Number])
        longest = max(longest, *map(len, objects), *map(len, lists), 0)
        count += len(level)
        if count + sum(map(len, objects)) + sum(map(len, lists)) > most:
            return Size(longest, most + 1, characters)
        level = [inner for value in objects for inner in value.values()]
        level += [inner for value in lists for inner in value]
        characters += sum([len(key) for value in objects for key in value if isinstance(key, str)])
        if not level:
            return Size(longest, count, characters)
    return None
