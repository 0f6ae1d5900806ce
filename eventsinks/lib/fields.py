"""Fields of a JSON document by path: `results_table.rows[0].userIdentity.arn`.

A name may contain dots itself (`{"userIdentity.arn": …}`, as the columns of a query do). So `a.b` is one name or
two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liquid.undefined import Undefined

from eventsinks.lib.numbers import dumps_spaced

MISSING = object()
MAX_SEGMENTS = 50
STEP = re.compile(r"""\.?([^.\[\]]+)|\[(\d{1,9})\]|\[(?:"([^"\]]*)"|'([^'\]]*)')\]""")


class Unresolved(Undefined):
    """A missing field. As text it is its own path, and the filter `default` replaces it."""

    def __str__(self) -> str:
        return self.name


def split_path(path: str) -> list[str | int] | None:
    """Return the names and indexes of a path. Return None if the text is not a path."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        step = STEP.match(path, at)
        if step is None or ((at == 0) == step[0].startswith(".") and step[1]):
            return None
        name = next((part for part in (step[1], step[3], step[4]) if part is not None), None)
        found.append(int(step[2]) if name is None else name)
        at = step.end()
    return found if len(found) <= MAX_SEGMENTS else None


def find_at(value: Any, path: Sequence[object], charge: Callable[[int], None] | None = None) -> Any:
    """Return the value at `path`, or MISSING. Try the longest name that fits first.

    Charge for the names that are tried in each object: someone may write a document in which many paths begin well
    and lead nowhere.
    """
    if not path:
        return value
    if isinstance(value, list):
        index = path[0]
        fits = type(index) is int and -len(value) <= index < len(value)
        return find_at(value[int(str(index))], path[1:], charge) if fits else MISSING
    if not isinstance(value, Mapping):
        return MISSING
    if charge is not None:
        charge(1 + len(path) * len(path) // 20)
    for end in range(len(path), 0, -1):
        name = ".".join(map(str, path[:end]))
        if name in value and (found := find_at(value[name], path[end:], charge)) is not MISSING:
            return found
    return MISSING


def write_path(path: Sequence[object]) -> str:
    """Return a path in the form that a template uses: `{{@alert.rows[0].name}}`."""
    root, *rest = path
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"{{{{{'@' if root == 'alert' else ''}{root}{''.join(parts)}}}}}"


def as_text(value: object) -> str:
    """Return a value as text for people: a text as it is, everything else as JSON."""
    if isinstance(value, str | Undefined):
        return str(value)
    return dumps_spaced(value)
