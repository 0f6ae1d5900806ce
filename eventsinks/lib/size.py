"""How large a JSON value is, told without recursion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Size:
    """`longest` is the length of the longest list or object; `total` counts values, and characters of text."""

    longest: int = 0
    total: int = 0


def measured(values: Iterable[Any], max_depth: int) -> Size | None:
    """Return the size of `values` together, None if one is nested deeper than `max_depth` levels."""
    level, longest, total = list(values), 0, 0
    for _ in range(max_depth + 1):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
                total += sum(len(key) for key in value if isinstance(key, str))
            elif isinstance(value, list | tuple):
                inside += value
            total += len(value) if isinstance(value, str) else 1
            longest = max(longest, len(value)) if isinstance(value, dict | list | tuple) else longest
        if not inside:
            return Size(longest, total)
        level = inside
    return None
