"""Templates of text in Liquid (https://shopify.github.io/liquid/), with Scanner's `{{@alert.…}}` for fields.

A field that does not resolve shows as itself. So does a template that fails or costs too much: rendering never
raises. The cost is counted and not timed, so the same document gives the same text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from liquid.exceptions import LiquidError

from eventsinks.lib.budget import TEMPLATE_STEPS, Budget, Spent
from eventsinks.lib.fields import MISSING, as_text, find_at
from eventsinks.lib.size import measure_size
from eventsinks.lib.templates.liquid_engine import ENVIRONMENT, MAX_DEPTH, MAX_OUTPUT, ChargedTemplate
from eventsinks.lib.templates.template_text import VARIABLE, BadTemplate, Tag, split_pieces

__all__ = [
    "BROUGHT",
    "KEPT",
    "MAX_OUTPUT",
    "BadTemplate",
    "CompiledTemplates",
    "TextTemplate",
    "count_compile_steps",
    "get_template",
]


class TextTemplate:
    """A compiled template. Raises BadTemplate.

    Usage:

        Template("{{@alert.rows[0].user.name}} did it").render({"rows": [{"user.name": "root"}]})  # "root did it"
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces = split_pieces(text)
        self._fields = read_fields(self._pieces)
        self._liquid = compile_pieces(self._pieces) if self._fields is None else None

    def render(self, document: Mapping[str, Any], budget: Budget | None = None) -> str:
        """Return the text with the fields of `document`, or the template if that fails or costs too much."""
        if len(self._pieces) == 1 and isinstance(self._pieces[0], str):
            return self.text
        try:
            with budget or Budget(TEMPLATE_STEPS) as paying:
                return self._told(document, paying)
        except Exception:  # a filter may raise anything, and the alert must still be sent
            return self.text

    def _told(self, document: Mapping[str, Any], budget: Budget) -> str:
        if self._fields is not None and (told := fill_in(self._fields, document, budget)) is not None:
            return told
        if self._liquid is None:  # no field has exactly this name: Liquid may find it
            budget.charge(sum(12 + len(tag.inside) for tag in self._pieces if isinstance(tag, Tag)))
            self._liquid = compile_pieces(self._pieces)
        return self._liquid.told(document, budget)


Fields = list[str | list[str | int]]  # plain texts, and the paths of fields


def read_fields(pieces: list[str | Tag]) -> Fields | None:
    """Return plain texts and paths, or None if a tag is more than one field: Liquid handles that."""
    found: Fields = []
    for piece in pieces:
        part = piece if isinstance(piece, str) else piece.field
        if part is None:
            return None
        found.append(part)
    return found


def fill_in(fields: Fields, document: Mapping[str, Any], budget: Budget) -> str | None:
    """Return the text, None if a field is missing. Raises Spent, and ValueError if the text is too long."""
    budget.charge(1 + 2 * len(fields))
    told = []
    for part in fields:
        if isinstance(part, str):
            told.append(part)
            continue
        value = find_at(document, part, budget.charge)
        if value is MISSING:
            return None
        told.append(write_charged(value, budget))
    text = "".join(told)
    if len(text.encode()) > MAX_OUTPUT:
        raise ValueError("it is too long")
    return text


def write_charged(value: object, budget: Budget) -> str:
    """Return a value as text. Raises Spent, and ValueError if the value is nested too deep."""
    if not isinstance(value, str | float | None):
        size = measure_size([value], MAX_DEPTH, 4 * max(budget.left, 0) + 1_000)
        if size is None:
            raise ValueError("it is nested too deep")
        budget.charge(size.values // 2)
    text = as_text(value)
    budget.charge(len(text) // 10)
    return text


def compile_pieces(pieces: list[str | Tag]) -> ChargedTemplate:
    """Return a template compiled by Liquid. Raises BadTemplate."""
    text = "".join(piece if isinstance(piece, str) else piece.liquid for piece in pieces)
    try:
        found = ENVIRONMENT.from_string(text)
        used = found.analyze()
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(make_complaint(error)) from None
    if unknown := set(used.filters) - set(ENVIRONMENT.filters):
        raise BadTemplate(f"there is no filter {min(unknown)}")
    if unknown := set(used.globals) - {VARIABLE}:
        raise BadTemplate(
            f"there is no {min(unknown)} to show, only {VARIABLE} and its fields: {{{{@alert.name}}}}"
        )
    assert isinstance(found, ChargedTemplate)
    return found


def make_complaint(error: Exception) -> str:
    """Return the problem of a template, with its line."""
    if isinstance(error, RecursionError):
        return "is nested too deep"
    said = str(getattr(error, "message", "") or error).partition("\n")[0]
    token = getattr(error, "token", None)
    line = (
        f"line {token.source.count(chr(10), 0, token.start_index) + 1}: "
        if token and token.start_index >= 0
        else ""
    )
    return f"{line}{said}"[:200]


def count_compile_steps(text: str) -> int:
    """Return the cost of compiling a template. Raises BadTemplate if it is clearly invalid."""
    pieces = split_pieces(text)
    tags = [piece for piece in pieces if isinstance(piece, Tag)]
    if read_fields(pieces) is not None:
        return 2 + len(text) // 100 + sum(tag.steps for tag in tags)
    return 30 + len(text) // 100 + sum(12 + len(tag.inside) for tag in tags)


class CompiledTemplates:
    """Templates by their texts: each is compiled once, and each invalid one is refused once.

    Their number and their characters are limited. The least recently used one is dropped first.
    """

    def __init__(self, most: int, characters: int) -> None:
        self._most, self._characters = most, characters
        self._found: OrderedDict[str, TextTemplate | str] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def get(self, text: str, budget: Budget | None = None) -> TextTemplate:
        """Return the template of a text. `budget` pays if it must be compiled. Raises BadTemplate and Spent."""
        with self._lock:
            if (found := self._found.get(text)) is not None:
                self._found.move_to_end(text)
        if found is None:
            if budget is not None:
                budget.charge(count_compile_steps(text) if len(text) < self._characters else 0)
            found = make_template(text)
            self._keep(text, found)
        if isinstance(found, str):
            raise BadTemplate(found)
        return found

    def __len__(self) -> int:
        return len(self._found)

    def _keep(self, text: str, found: TextTemplate | str) -> None:
        with self._lock:
            if text not in self._found:
                self._held += len(text)
            self._found[text] = found
            while len(self._found) > self._most or self._held > self._characters:
                gone, _ = self._found.popitem(last=False)
                self._held -= len(gone)


def make_template(text: str) -> TextTemplate | str:
    """Return the template of a text, or the reason why it is invalid."""
    try:
        return TextTemplate(text)
    except BadTemplate as error:
        return str(error)


# Templates from alerts are separate: they can never push out those of event sinks.
KEPT = CompiledTemplates(most=5_000, characters=1_000_000)
BROUGHT = CompiledTemplates(most=1_000, characters=250_000)


def get_template(text: str) -> TextTemplate:
    """Return the template of this text, compiled once. Raises BadTemplate."""
    return KEPT.get(text)


def render_text(text: str, document: Mapping[str, Any], budget: Budget, among: CompiledTemplates) -> str:
    """Return a text with the fields of `document`, or the text itself if that fails or costs too much.

    Never raises.
    """
    try:
        return among.get(text, budget).render(document, budget)
    except (BadTemplate, Spent):
        return text
