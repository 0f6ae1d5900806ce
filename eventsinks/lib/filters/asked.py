"""A document on which filters are evaluated, and what that costs.

The engine can't be stopped. So we estimate the highest cost of an evaluation before it runs, from how much the
filter does and how large the values are. The cost is in steps of a budget that all filters of one event share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from eventsinks.lib.budget import CHEAP, FILTER_STEPS, RESERVE, Budget
from eventsinks.lib.filters.cel_text import ExpressionShape
from eventsinks.lib.filters.engine import cel
from eventsinks.lib.size import Size, measure_size

MAX_DEPTH = 250  # levels of a document
DOCUMENT = "alert"  # the name of the whole document in a filter


class Asked:
    """A document on which filters are evaluated.

    Each value that they use is measured and handed to the engine once. `budget` pays for all of it. If it can't
    pay for a value, that value is too large to search.
    """

    def __init__(self, document: Mapping[str, Any], budget: Budget | None = None) -> None:
        self.document = document
        self.budget = budget or Budget(FILTER_STEPS)
        self.context = cel.Context()
        self.answers: dict[str, str | None] = {}  # by filter, for callers that evaluate the same one again
        self._sizes: dict[str, Size | None] = {}
        self._given: set[str] = set()

    def refusal(self, names: Iterable[str], steps: Callable[[Size], int]) -> str:
        """Prepare the values that a filter names. Return the reason if that is impossible, otherwise ""."""
        present = sorted(name for name in names if name == DOCUMENT or name in self.document)
        sizes = [self._size(name) for name in present]
        if None in sizes:
            return f"nested deeper than {MAX_DEPTH} levels"
        known = [size for size in sizes if size is not None]
        new = [size for name, size in zip(present, known, strict=True) if name not in self._given]
        total = Size(
            max((size.longest for size in known), default=0),
            sum(size.values for size in known),
            sum(size.characters for size in known),
        )
        if not self.budget.affords(sum(map(count_steps_to_give, new)) + steps(total)):
            return "too large to be looked through"
        for name in present:
            self._give(name)
        return ""

    def _size(self, name: str) -> Size | None:
        """Return the size of a name's value.

        If the budget can't pay for the value, measure only up to that limit.
        """
        if name not in self._sizes:
            most = max(self.budget.left - RESERVE, CHEAP)
            self._sizes[name] = found = measure_size([self._value(name)], MAX_DEPTH, most)
            self.budget.affords((found.values if found else most) // 4)
        return self._sizes[name]

    def _value(self, name: str) -> Any:
        return dict(self.document) if name == DOCUMENT else self.document[name]

    def _give(self, name: str) -> None:
        if name not in self._given:
            self.context.add_variable(name, self._value(name))
            self._given.add(name)


def count_steps_to_give(size: Size) -> int:
    """Return the cost of handing values to the engine, which copies them."""
    return 1 + size.values + size.characters // 200


def count_filter_steps(length: int, found: ExpressionShape, pattern_steps: int, size: Size) -> int:
    """Return the highest cost of evaluating a filter of `length` characters on values of this size.

    Each operation may look at a whole value, and a macro visits each item. The engine compiles a pattern again in
    each round. It copies the list that `map` and `filter` build for each item.
    """
    patterns = pattern_steps * (1 + size.characters // 5_000)
    look = 1 + found.operations * (size.values // 100 + size.characters // 1_000) + patterns
    once = 2 + length // 10 + look
    if not found.macros:
        return once
    longest = max(size.longest, length, 1) * (1 + found.pluses)
    if found.goes_out:
        rounds: int = longest**found.macro_nesting
        looks = rounds if found.looks_out else rounds // longest + 1
    else:  # each macro walks a part of what the macro around it walks
        rounds, looks = found.macros * (size.values + length), found.macros
    each = rounds * (3 + length // 12) // 10 + rounds * pattern_steps
    copied = max(longest, size.values) if found.goes_out else longest
    return once + each + looks * look + found.builders * rounds * copied
