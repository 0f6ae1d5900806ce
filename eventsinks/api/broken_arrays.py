"""Broken arrays: splits an array with an element that is not JSON, so that the other elements can be accepted.

Strings and brackets show where an element ends, even if the element is broken. The caller then checks each one.
Text inside a string can't become an element: its quotes follow backslashes, and valid JSON has backslashes only in
strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+(?P<end>"?)|(?P<opened>[\[{]+)|(?P<closed>[\]}])|,', re.DOTALL)
MAX_MARKS = 4_000_000  # that are looked at: about a second


def split_elements(body: bytes, most: int) -> list[bytes]:
    """Return the elements of an array, at most `most`. Raises ValueError if it can't be split."""
    return list(islice(yield_elements(body), most))


def yield_elements(body: bytes) -> Iterator[bytes]:
    """Yield the elements. Raises ValueError at the first place that makes no sense."""
    start = depth = 0
    for count, mark in enumerate(MARK.finditer(body)):
        if mark["end"] == b"" or count == MAX_MARKS:
            wrong = "a string does not end" if mark["end"] == b"" else "too much stands in it"
            raise ValueError(f"{wrong} (byte {mark.start()})")
        if mark["opened"]:
            start = start or mark.start() + 1
            depth += len(mark["opened"])
        elif mark["closed"]:
            depth -= 1
        if depth == 0:
            yield from read_last(body, start, mark)
            return
        if mark[0] == b"," and depth == 1:
            yield body[start : mark.start()]
            start = mark.end()
    raise ValueError(f"it does not end (byte {len(body)})")


def read_last(body: bytes, start: int, end: re.Match[bytes]) -> list[bytes]:
    """Return the last element, if there is one. Raises ValueError if the array does not end at `end`."""
    if end[0] != b"]" or body[end.end() :].strip():
        wrong = "its brackets do not match" if end[0] != b"]" else "something stands behind it"
        raise ValueError(f"{wrong} (byte {end.start()})")
    element = body[start : end.start()]
    return [element] if element.strip() or body[start - 1 : start] == b"," else []
