"""Templates of text in Liquid (https://shopify.github.io/liquid/), with Scanner's `{{@alert.…}}` for fields.

What does not resolve shows as itself, and so does a template that fails or would do too much: rendering never
raises. What a render may cost is counted, not timed: the same document gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TextIO

from liquid import Environment, RenderContext, Token
from liquid.ast import Node
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.template import BoundTemplate
from liquid.undefined import UNDEFINED

from eventsinks.lib.fields import MISSING, Unresolved, as_text, found_in, segments_of, written
from eventsinks.lib.size import measured

MAX_TEMPLATE = 10_000  # characters
MAX_OUTPUT = 40_000  # bytes
MAX_WORK = 50_000  # look-ups, and filters by the size of what they are given
MAX_VALUE = 2_000_000  # characters that a filter may be given, or give
MAX_LIST = 2_000  # items that a filter may be given
VARIABLE = "alert"
OF_THE_PARSER = frozenset(["content", "output", "illegal"])
TAGS = OF_THE_PARSER | {"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "#"}
NO_FILTERS = frozenset(["date", "safe", "escapejs"])  # `date` pads by as much as it is told to
ONE_LOOK = frozenset(["size", "first", "last"])  # filters that do not go through a list

TAG = re.compile(r"\{\{-?.*?\}\}|\{%-?.*?%\}", re.DOTALL)
RAW = re.compile(r"\{%-?\s*(?:end)?raw\b")
ALONE = re.compile(r"(\{\{-?)\s*@alert\.([^{}|]+?)\s*(-?\}\}|\|)")
STRING_OR_FIELD = re.compile(
    r""""[^"]*"|'[^']*'|@alert(?![\w-])((?:\.[^\s.\[\]{}|%,:=<>!"'()]+|\[[^\[\]{}]*\])*)"""
)


class BadTemplate(ValueError):
    """A text is no template. Says what is wrong, for people."""


@lru_cache(maxsize=2_000)
def template(text: str) -> Template:
    """Return the template of this text, compiled once. Raises BadTemplate."""
    return Template(text)


class Template:
    """A template, compiled. Raises BadTemplate.

    Usage:

        Template("{{@alert.rows[0].user.name}} did it").render({"rows": [{"user.name": "root"}]})  # "root did it"
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEMPLATE:
            raise BadTemplate(f"has {len(text):,} characters; at most {MAX_TEMPLATE:,} is allowed")
        self.text = text
        self._liquid = compiled(text) if "{{" in text or "{%" in text else None

    def render(self, document: Mapping[str, Any]) -> str:
        """Return the text with the fields of `document`; itself, where that fails. Never raises."""
        if self._liquid is None:
            return self.text
        try:
            return self._liquid.render(**{VARIABLE: document})
        except Exception:  # a filter may raise anything, and the alert must go out
            return self.text


def compiled(text: str) -> BoundTemplate:
    """Return the Liquid of a text. Raises BadTemplate."""
    if RAW.search(text):
        raise BadTemplate("raw can't be used; what has to stay as it is can be given as text: {{ '{{' }}")
    try:
        found = ENVIRONMENT.from_string(TAG.sub(lambda tag: plain_liquid(tag[0]), text))
        used = found.analyze()
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(complaint(error)) from None
    if unknown := set(used.filters) - set(ENVIRONMENT.filters):
        raise BadTemplate(f"there is no filter {min(unknown)}")
    if unknown := set(used.globals) - {VARIABLE}:
        raise BadTemplate(
            f"there is no {min(unknown)} to show, only {VARIABLE} and its fields: {{{{@alert.name}}}}"
        )
    return found


def complaint(error: Exception) -> str:
    """Return what is wrong with a template, and in which line."""
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


def plain_liquid(tag: str) -> str:
    """Return a tag with each `@alert.…` as Liquid's own path."""
    if (alone := ALONE.match(tag)) and (segments := segments_of(alone[2])) is not None:
        return f"{alone[1]} {liquid_path(segments)} {alone[3]}{plain_liquid_inside(tag[alone.end() :])}"
    return plain_liquid_inside(tag)


def plain_liquid_inside(tag: str) -> str:
    """Return a part of a tag, whose strings stay as they are, with each `@alert.…` as Liquid's own path."""

    def replaced(found: re.Match[str]) -> str:
        segments = segments_of(found[1].removeprefix(".")) if found[1] is not None else None
        return found[0] if segments is None else liquid_path(segments)

    return STRING_OR_FIELD.sub(replaced, tag)


def liquid_path(segments: list[str | int]) -> str:
    """Return Liquid for a field of the document."""
    quoted = (f"'{part}'" if isinstance(part, str) and '"' in part else f'"{part}"' for part in segments)
    parts = (str(part) if isinstance(part, int) else text for part, text in zip(segments, quoted, strict=True))
    return VARIABLE + "".join(f"[{part}]" for part in parts)


class Context(RenderContext):
    """What a template sees while it is rendered: fields by flat names too, and its work is counted."""

    work = 0

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Look a field up; `a.b` may be one name or two."""
        root = self.scope.get(str(path[0]), MISSING)
        value = found_in(root, path[1:]) if len(path) > 1 else root
        self.count(1 + (len(value) // 1_000 if isinstance(value, str | list | dict) else 0))
        if value is not MISSING:
            return value
        found = super().get(path, token=token, default=Unresolved)
        if found is not Unresolved:
            return found
        return Unresolved(written(path), token=token) if default is UNDEFINED else default

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return a filter that refuses more than it should be given."""
        function = super().filter(name, token)

        def limited(*values: object, **named: object) -> object:
            if isinstance(values[0], Unresolved) and name != "default":
                return values[0]
            self.count(1 + sum(weight(name, value) for value in values) // 100)
            if name.startswith("replace"):
                check_replace(*map(str, values))
            result = function(*values, **named)
            weight(name if name in ONE_LOOK else "", result)
            return result

        return limited

    def count(self, work: int) -> None:
        """Raise ResourceLimitError once too much has been done."""
        self.work += work
        if self.work > MAX_WORK:
            raise ResourceLimitError("it does too much", token=None)


def weight(name: str, value: object) -> int:
    """Return the size of what a filter is given. Raises ResourceLimitError for too much."""
    if name in ONE_LOOK:
        return 1
    size = measured([value], 300)
    items = len(value) if isinstance(value, range | list | tuple) else 0
    if size is None or size.total > MAX_VALUE or items > MAX_LIST:
        raise ResourceLimitError("a filter is given too much", token=None)
    return size.total


def check_replace(text: str, old: str = "", new: str = "", *_: str) -> None:
    """Raise ResourceLimitError if replacing would make a text too long."""
    if len(text) + text.count(old) * len(new) > MAX_VALUE:
        raise ResourceLimitError("replace would make too much", token=None)


class TextNode(OutputNode):
    """`{{ … }}`, with lists and objects as JSON."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Write the value as text."""
        return buffer.write(as_text(self.expression.evaluate(context)))


class TextOutput(Output):
    """Liquid's `{{ … }}`."""

    node_class: type[Node] = TextNode  # type: ignore[assignment]


class LimitedTemplate(BoundTemplate):
    """A template that is rendered in our Context."""

    context_class = Context


class Limited(Environment):
    """Liquid without files, and with limits."""

    template_class = LimitedTemplate
    block_nesting_limit = 10
    context_depth_limit = 20
    loop_iteration_limit = 1_000
    local_namespace_limit = 200_000
    output_stream_limit = MAX_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep the tags and filters that are harmless, and add `json`."""
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(TextOutput)
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS}
        self.filters = {name: one for name, one in self.filters.items() if name not in NO_FILTERS}
        self.add_filter("json", as_text)


ENVIRONMENT = Limited()
