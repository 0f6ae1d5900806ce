"""The cost of compiling a regular expression, estimated from its text. A step is about a microsecond.

The cost follows the number of states. A Unicode class has hundreds of them, and a count repeats the states before
it.
"""

from __future__ import annotations

import re

BASE = 30  # steps of the shortest pattern
CLASS = 300  # steps of a class: `\w`, `\pL`, `[^a]`, and any letter after `(?i)`
CHARACTER = 2
PART = re.compile(
    r"""
    (?P<count>\{\d*,?\d*\})
    | (?P<class>\\+[wWdDsSpPbB] | \[\^?\]?(?:\\+.|[^\]\\])*\]?)
    | (?P<any>\.)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<other>\\*.)
    """,
    re.VERBOSE | re.DOTALL,
)
MOST = 10_000_000


def count_pattern_steps(pattern: str) -> int:
    """Return the highest cost of compiling a pattern, with or without its quotes."""
    ignores_case = "(?" in pattern and re.search(r"\(\?[a-zA-Z-]*i", pattern) is not None
    levels: list[list[int]] = [[]]  # for each open bracket, the steps of its parts
    for found in PART.finditer(pattern):
        level = levels[-1]
        if found["count"]:
            times = max((int(number) for number in re.findall(r"\d+", found[0][:20])), default=1)
            if (
                level and pattern[found.start() - 1] == "]"
            ):  # the class that `]` ends is unknown: one may hold others
                level[:] = [sum(level)]
            if level:
                level[-1] = min(level[-1] * max(times, 1), MOST)
        elif found["open"]:
            levels.append([])
        elif found["close"] and len(levels) > 1:
            inner = levels.pop()
            levels[-1].append(min(sum(inner), MOST))
        else:
            level.append(CLASS if found["class"] else 20 if found["any"] or ignores_case else CHARACTER)
    return min(BASE + sum(map(sum, levels)), MOST)
