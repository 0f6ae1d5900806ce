"""Filters of events, in CEL (https://cel.dev): compiled once, and evaluated without raising an error.

A filter that rejects an event names the clause. CEL has no loops, but its macros (`exists`, `all`, …) walk lists.
Their number and nesting are limited, and their highest cost for a document is known before they run.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from eventsinks.lib.filters.asked import Asked, count_filter_steps
from eventsinks.lib.filters.cel_text import ExpressionShape, find_patterns, measure_shape, split_clauses
from eventsinks.lib.filters.engine import cel
from eventsinks.lib.filters.pattern import count_pattern_steps
from eventsinks.lib.size import Size

MAX_FILTER = 4_000  # characters
MAX_NESTING = 20  # brackets in brackets
MAX_MACROS = 5
MAX_MACRO_NESTING = 2  # a macro in a macro
MAX_PLUSES = 10  # each could double a text
MAX_PATTERN = 3_000  # steps: the engine compiles a pattern again at each use

CONVERSIONS = frozenset(["bytes", "double", "duration", "int", "size", "string", "timestamp", "type", "uint"])
DATES = frozenset(["getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"])
TIMES = frozenset(["getMilliseconds", "getMinutes", "getMonth", "getSeconds"])
QUESTIONS = frozenset(["bool", "contains", "dyn", "endsWith", "matches", "startsWith"])
FUNCTIONS = CONVERSIONS | DATES | TIMES | QUESTIONS
OPERATORS = frozenset(["@in", "!_", "_&&_", "_||_", "_?_:_", "_[_]", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"])
MAY_BE_BOOLEAN = QUESTIONS | OPERATORS  # a clause that calls something, but none of these, returns no boolean
IS_OPERATOR = re.compile(r"[_@!-]")
UNDEFINED = re.compile(r"Undefined variable or function: '([^']*)'")


class BadFilter(ValueError):
    """A text is not a filter. The message says where and why, for people."""


class EventFilter:
    """A compiled filter. Raises BadFilter.

    Usage:

        wanted = EventFilter('severity_id >= 4 && "tactics.ta0001" in tags')
        wanted.rejects({"severity_id": 3, "tags": []})  # "severity_id >= 4"
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._shape = check_text(text)
        program = compile_text(text)
        check_names(program)
        check_patterns(text, self._shape)
        self._pattern_steps = sum(map(count_pattern_steps, find_patterns(text)))
        self._names = frozenset(program.variables())
        self._clauses = tuple((clause, compile_truth(clause)) for clause in split_compilable(text))
        for clause, _ in self._clauses:
            check_boolean(clause)

    def rejects(self, document: Mapping[str, Any] | Asked) -> str | None:
        """Return None if every clause is true of `document`, else the first that is not, with its error if any.

        Never raises, whatever the document contains. `alert` stands for the whole document. A caller that
        evaluates several filters on the same document passes it as Asked, so that they share the cost.
        """
        asked = document if isinstance(document, Asked) else Asked(document)
        with asked.budget:
            if reason := asked.refusal(self._names, self._steps):
                return f"{shorten_clause(self.text)} ({reason})"
        for clause, program in self._clauses:
            try:
                if program.execute(asked.context) is not True:
                    return shorten_clause(clause)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # a panic of the engine is not an Exception
                return f"{shorten_clause(clause)} ({explain_error(error)})"
        return None

    def _steps(self, size: Size) -> int:
        """Return the highest cost of evaluating the filter on values of this size."""
        return count_filter_steps(len(self.text), self._shape, self._pattern_steps, size)


@functools.lru_cache(maxsize=10_000)
def get_filter(text: str) -> EventFilter:
    """Return the filter of a text, compiled once. Raises BadFilter."""
    return EventFilter(text)


def check_text(text: str) -> ExpressionShape:
    """Return the shape of a text. Raises BadFilter if it is too long, is nested too deep, or does too much."""
    if not text.strip():
        raise BadFilter("a filter can't be empty")
    if len(text) > MAX_FILTER:
        raise BadFilter(f"a filter has at most {MAX_FILTER:,} characters, this one has {len(text):,}")
    if unfit := re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text.replace("\r\n", "\n")):
        raise BadFilter(
            f"the character U+{ord(unfit[0]):04X} can't be in a filter; in a string, write it as an escape"
        )
    found = measure_shape(text)
    limits = (
        (found.nesting, MAX_NESTING, "brackets are nested {} levels deep"),
        (found.macros, MAX_MACROS, "all, exists, exists_one, map and filter are used {} times"),
        (
            found.macro_nesting,
            MAX_MACRO_NESTING,
            "all, exists, exists_one, map and filter are nested {} levels deep",
        ),
        (found.pluses, MAX_PLUSES, "+ is used {} times"),
        (found.pluses_in_macros, 0, "+ is used {} times inside of all, exists, exists_one, map or filter"),
    )
    for number, most, sentence in limits:
        if number > most:
            raise BadFilter(f"{sentence.format(number)}; at most {most} is allowed")
    return found


def compile_text(text: str) -> cel.Program:
    """Return the program of a text. Raises BadFilter."""
    try:
        return cel.compile(text)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise BadFilter(make_complaint(str(error))) from None


def make_complaint(said: str) -> str:
    """Return the first complaint of a parser: `line 1, column 5: …`."""
    if found := re.search(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)", said):
        return f"line {found[1]}, column {found[2]}: {found[3].split(' expecting ')[0][:200]}"
    return said.partition("\n")[0][:200]


def check_names(program: cel.Program) -> None:
    """Raise BadFilter for an unknown function. A variable is a key of the event and may have any name."""
    for name in program.functions():
        if not IS_OPERATOR.match(name) and name not in FUNCTIONS:
            raise BadFilter(f"there is no function {name}; there is {', '.join(sorted(FUNCTIONS))}")


def check_patterns(text: str, found: ExpressionShape) -> None:
    """Raise BadFilter for an invalid or costly pattern. A pattern from an event's field could take seconds."""
    for pattern in find_patterns(text):
        if not pattern:
            raise BadFilter('matches takes one pattern, in quotes: name.matches("^a")')
        if "{" in pattern and found.macros:
            raise BadFilter(
                f"{shorten_clause(pattern)} counts with {{}}, which is too slow beside all, exists, map or filter"
            )
        if count_pattern_steps(pattern) > MAX_PATTERN:
            raise BadFilter(f"{shorten_clause(pattern)} is too slow: it has too many classes, or counts too far")
        try:
            cel.evaluate(f'"".matches({pattern})')
        except Exception as error:
            raise BadFilter(
                f"{shorten_clause(pattern)} is no pattern: {make_regex_complaint(str(error))}"
            ) from None


def make_regex_complaint(said: str) -> str:
    """Return the problem of a pattern: the engine's last `error:`."""
    _, _, reason = said.rpartition("error: ")
    return reason.partition(". Check function")[0][:200]


def split_compilable(text: str) -> list[str]:
    """Return the clauses of a text, or the whole text as one if one of them is not an expression alone."""
    found = split_clauses(text)
    try:
        for clause in found:
            compile_text(clause)
    except BadFilter:
        return [text.strip()]
    return found


def compile_truth(clause: str) -> cel.Program:
    """Return the program that tests whether a clause is true. It does not copy a large result to look at it."""
    return compile_text(f"(\n{clause}\n) == true")


def check_boolean(clause: str) -> None:
    """Raise BadFilter for a clause that certainly returns no boolean."""
    program = compile_text(clause)
    functions = set(program.functions())
    if functions and not functions & MAY_BE_BOOLEAN and not re.search(r"\bhas\s*\(", clause):
        raise BadFilter(f"{shorten_clause(clause)} is neither true nor false")
    if program.variables():
        return
    try:
        value = program.execute({})
    except Exception as error:
        raise BadFilter(f"{shorten_clause(clause)} can't be evaluated: {explain_error(error)}") from None
    if not isinstance(value, bool):
        raise BadFilter(f"{shorten_clause(clause)} is neither true nor false")


def explain_error(error: BaseException) -> str:
    """Return the reason why a clause can't be evaluated, for people."""
    if isinstance(error, KeyError):
        return f"no such key: {str(error.args[0])[:100]}" if error.args else "no such key"
    said = str(error)
    if found := UNDEFINED.match(said):
        return f"no such key: {found[1][:100]}"
    if isinstance(error, TypeError):
        return "the values are not of types that this can be asked of"
    return said.partition("\n")[0][:200]


def shorten_clause(clause: str) -> str:
    """Return a clause on one line, short enough to show."""
    line = " ".join(clause.split())
    return line if len(line) <= 300 else f"{line[:299]}…"
