"""Templates in the syntax of Go's text/template that NetBird's users know, safe inside JSON.

They have only variables and `.Timestamp.Format`: no loops and no functions. A JSON template stays JSON for all
values: between quotes a value is escaped, elsewhere it is written as JSON. (https://pkg.go.dev/text/template; Go
itself would insert the plain text, and break the document.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from eventsinks.lib.numbers import dumps_spaced
from eventsinks.lib.templates.go_time import GoTime

MAX_TEMPLATE = 32_768  # characters
MAX_ACTIONS = 500
ACTION = re.compile(r"\{\{(-(?=\s))?(.{0,200}?)((?<=\s)-)?\}\}", re.DOTALL)
FIELD = re.compile(r"\.([A-Za-z]\w*)((?:\.[A-Za-z_]\w*)*)", re.ASCII)
FORMAT = re.compile(r"""(\.[A-Za-z]\w*)\.Format\s+("(?:[^"\\]|\\.){0,100}"|`[^`]{0,100}`)""", re.ASCII)
FILLER = '{"{{}}": 0}'  # no literal can contain it
QUOTE = re.compile(r'\\.|"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slot:
    """One `{{…}}`: the name of the variable, the path inside it, and the format of a time."""

    name: str
    path: tuple[str, ...] = ()
    layout: str | None = None
    quoted: bool = False

    @property
    def filler(self) -> str:
        """The text in its place while the template is checked."""
        return "x" if self.quoted else FILLER

    def value(self, variables: Mapping[str, Any]) -> Any:
        """Return the value, None if there is nothing of that name."""
        value = variables.get(self.name)
        if isinstance(value, GoTime):
            if self.layout is not None:
                return value.format(self.layout)
            return value.nanoseconds if self.path else str(value)
        for key in self.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


class GoTemplate:
    """A parsed template. `names` are the variables that exist. Only `nested` ones have fields of their own.

    Raises ValueError, with a reason fit for a user. `is_json` says whether the output is JSON for all values: one
    document, or several with white space between.
    """

    def __init__(self, text: str, names: Collection[str], nested: str, time: str) -> None:
        if len(text) > MAX_TEMPLATE:
            raise ValueError(f"a template has at most {MAX_TEMPLATE} characters")
        if text.count("{{") > MAX_ACTIONS:
            raise ValueError(f"a template has at most {MAX_ACTIONS} places to fill in")
        self._names, self._nested, self._time = names, nested, time
        self._parts = self._parsed(text)
        self.is_json = self._always_json()

    def render(self, variables: Mapping[str, Any], limit: int) -> str:
        """Return the filled-in template. Raises ValueError if it has more than `limit` characters."""
        written: list[str] = []
        size = 0
        for part in self._parts:
            if isinstance(part, Slot):
                part = self._write(part)(part.value(variables))
            size += len(part)
            if size > limit:
                raise ValueError(f"the filled-in template has more than {limit} characters")
            written.append(part)
        return "".join(written)

    def _write(self, slot: Slot) -> Callable[[Any], str]:
        if not self.is_json:
            return write_plain
        return write_escaped if slot.quoted else write_json

    def _parsed(self, text: str) -> list[str | Slot]:
        parts: list[str | Slot] = []
        at, quoted, trim = 0, False, False
        for action in ACTION.finditer(text):
            before = trim_literal(text[at : action.start()], trim, bool(action[1]))
            quoted = is_in_string(before, quoted)
            parts += (before, self._slot(action[2].strip(), quoted))
            at, trim = action.end(), bool(action[3])
        return [*parts, trim_literal(text[at:], trim, False)]

    def _slot(self, expression: str, quoted: bool) -> Slot:
        if found := FORMAT.fullmatch(expression):
            if found[1] == f".{self._time}":
                return Slot(self._time, layout=unquote(found[2]), quoted=quoted)
        elif found := FIELD.fullmatch(expression):
            name, path = found[1], tuple(found[2].split(".")[1:])
            allowed = not path or name == self._nested or (name == self._time and path == ("UnixNano",))
            if name in self._names and allowed:
                return Slot(name, path, quoted=quoted)
        known = ", ".join(f".{name}" for name in self._names)
        raise ValueError(
            f"{{{{{expression[:60]}}}}} is not known; there is {known}, .{self._nested}.key, "
            f'.{self._time}.UnixNano and .{self._time}.Format "2006-01-02"'
        )

    def _always_json(self) -> bool:
        """Whether the output is JSON for all values.

        In the place of an object only a whole value fits, and no escape sequence contains `x`.
        """
        if [part for part in self._parts if part] == [Slot(self._nested)]:
            return True
        first = str(self._parts[0]).lstrip()[:1]
        if first not in ("{", "["):
            return False
        try:
            check_documents("".join(part.filler if isinstance(part, Slot) else part for part in self._parts))
        except (ValueError, RecursionError) as error:
            if first == "[":  # it may be a line of a log: [2026-05-04] peer added
                return False
            raise ValueError(f"it begins like JSON but is not: {str(error)[:200]}") from None
        return True


def trim_literal(text: str, trim_left: bool, trim_right: bool) -> str:
    """Return text between actions, without the white space that `{{-` and `-}}` remove."""
    text = text.lstrip() if trim_left else text
    text = text.rstrip() if trim_right else text
    if "{{" in text:
        raise ValueError("a {{ is not closed by }}")
    return text


def is_in_string(text: str, before: bool) -> bool:
    """Whether the end of `text` is inside a JSON string. `before` says whether its beginning is."""
    return before ^ bool(sum(1 for found in QUOTE.findall(text) if found == '"') % 2)


def unquote(quoted: str) -> str:
    """Return the value of a Go string literal."""
    return quoted[1:-1] if quoted[0] == "`" else re.sub(r"\\(.)", r"\1", quoted[1:-1])


def check_documents(text: str) -> None:
    """Raise ValueError unless `text` consists of strict JSON objects and arrays, with white space between."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at = 0
    while at < len(text := text.rstrip(" \t\r\n")):
        if text[at] in " \t\r\n":
            at += 1
            continue
        if text[at] not in "{[" or text.startswith(FILLER, at):
            raise ValueError(f"Expecting an object or an array: char {at}")
        _, at = decoder.raw_decode(text, at)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def write_plain(value: Any) -> str:
    """Return a value as text: "" for None, strings as they are, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else write_json(value)


def write_escaped(value: Any) -> str:
    """Return a value as text for use between the quotes of a JSON string."""
    return write_json(write_plain(value))[1:-1]


def write_json(value: Any) -> str:
    """Return a value as JSON on one line."""
    if isinstance(value, RawJson):
        return value.text
    return dumps_spaced(value)


@dataclass(frozen=True, slots=True)
class RawJson(Mapping[str, Any]):
    """An object that is written as its original text, so that no number is rounded."""

    text: str
    fields: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    def __iter__(self) -> Any:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)
