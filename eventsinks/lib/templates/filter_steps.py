"""The cost of a template's filters, by their input and output, in steps of a budget."""

from __future__ import annotations

from collections.abc import Sequence

from liquid.exceptions import ResourceLimitError

from eventsinks.lib.size import Size

MAX_VALUE = 2_000_000  # characters of a filter's input or output
MAX_LIST = 2_000  # items of a filter's input
MAX_BITS = 20_000  # of a number
ONE_LOOK = frozenset(["size", "first", "last"])  # filters that do not walk a list
# Filters that walk the characters in Python, or call something for each match.
BY_CHARACTER = frozenset(["escape_once", "newline_to_br", "squish", "strip_newlines", "url_decode", "url_encode"])
SORTING = frozenset(["sort", "sort_natural"])


def count_steps_before(name: str, values: Sequence[object], size: Size) -> int:
    """Return what a filter costs. Raises ResourceLimitError for too large an input."""
    check_size(size, *values)
    steps = 1 + size.values // 2 + size.characters // (4 if name in BY_CHARACTER else 40)
    if name == "uniq":  # it compares each item with each other one
        steps += size.values * (size.values + size.characters // 100) // 30
    elif name in SORTING:
        steps += size.values * size.values.bit_length() // 4
    elif name == "strip_html":  # from each `<` it may search to the end
        steps += size.characters + sum(str(value).count("<") for value in values) * size.characters // 200
    elif name == "join":
        steps += count_made(size.values * (len(str(values[1])) if len(values) > 1 else 1))
    elif name.startswith("replace"):
        steps += count_made(count_replaced(*map(str, values)))
    return steps


def count_steps_after(size: Size) -> int:
    """Return the cost of a filter's output."""
    return size.values // 4 + size.characters // 400


def check_size(size: Size, *values: object) -> None:
    """Raise ResourceLimitError for too large an input or output of a filter."""
    items = max((len(value) for value in values if isinstance(value, range | list | tuple)), default=0)
    bits = max((value.bit_length() for value in values if isinstance(value, int)), default=0)
    if size.values + size.characters > MAX_VALUE or items > MAX_LIST or bits > MAX_BITS:
        raise ResourceLimitError("a filter is given too much", token=None)


def count_made(characters: int) -> int:
    """Return the cost of making a text of so many characters. Raises ResourceLimitError for too many."""
    if characters > MAX_VALUE:
        raise ResourceLimitError("a filter would make too much", token=None)
    return characters // 40


def count_replaced(text: str, old: str = "", new: str = "", *_: str) -> int:
    """Return how many characters a text can have at most after a replacement."""
    return len(text) + text.count(old) * len(new)
