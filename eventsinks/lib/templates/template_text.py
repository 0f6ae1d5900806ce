"""The text of a template: cut into plain text and tags, in one pass from left to right.

Liquid's own lexer goes back and forth over a text that is written to be slow. So it gets only what passed here: a
limited number of closed tags of limited length, without runs of spaces at their ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from eventsinks.lib.fields import split_path

MAX_TEMPLATE = 10_000  # characters
MAX_TAGS = 1_000
MAX_TAG = 2_500  # characters
MAX_FILTERS = 150  # in one tag
VARIABLE = "alert"
FIELD = f"@{VARIABLE}."
CLOSING = {"{{": "}}", "{%": "%}"}
UNCLOSED = {"{{": "expected '}}', found end of file", "{%": "missing tag name or closing delimiter"}
KEPT_LINES = 50  # line breaks that stay at an end of a tag, so that complaints name the right line
UNFIT = re.compile(r"\s*(?:end)?(raw|doc)\b")
STRING_OR_FIELD = re.compile(
    r""""[^"]*"|'[^']*'|@alert(?![\w-])((?:\.[^\s.\[\]{}|%,:=<>!"'()]+|\[[^\[\]{}]*\])*)"""
)


class BadTemplate(ValueError):
    """A text is not a template. The message says why, for people."""


class Tag(NamedTuple):
    """One `{{…}}` or `{%…%}`: its opening, its inside, and whether a `-` trims the text beside it."""

    opening: str
    inside: str
    trims_left: bool
    trims_right: bool

    @property
    def field(self) -> list[str | int] | None:
        """The path if the tag contains only one `@alert.…`, otherwise None."""
        alone = self.opening == "{{" and not (self.trims_left or self.trims_right)
        text = self.inside.strip()
        if not (alone and text.startswith(FIELD)) or any(sign in text for sign in "{}|"):
            return None
        return split_path(text[len(FIELD) :])

    @property
    def steps(self) -> int:
        """The cost of compiling it. One field costs less, because Liquid need not see it."""
        return 3 + len(self.inside) // 4 if self.field is not None else 12 + len(self.inside)

    @property
    def liquid(self) -> str:
        """The tag in Liquid, with each `@alert.…` as Liquid's own path."""
        before, text, after = strip_ends(self.inside)
        left, right = "-" if self.trims_left else "", "-" if self.trims_right else ""
        return (
            f"{self.opening}{left}{before}{write_liquid(self.opening, text)}{after}{right}{CLOSING[self.opening]}"
        )


def split_pieces(text: str) -> list[str | Tag]:
    """Return a template as plain texts and tags, in order. Raises BadTemplate."""
    if len(text) > MAX_TEMPLATE:
        raise BadTemplate(f"has {len(text):,} characters; at most {MAX_TEMPLATE:,} is allowed")
    found = list(cut_up(text))
    tags = sum(isinstance(piece, Tag) for piece in found)
    if tags > MAX_TAGS:
        raise BadTemplate(f"has {tags:,} tags; at most {MAX_TAGS:,} are allowed")
    return found


def cut_up(text: str) -> Iterator[str | Tag]:
    """Yield plain texts and tags. Raises BadTemplate."""
    at = 0
    for opening in find_openings(text):
        if opening < at:  # it stands inside a tag
            continue
        if opening > at:
            yield text[at:opening]
        sign = text[opening : opening + 2]
        end = text.find(CLOSING[sign], opening + 2)
        if end < 0:
            raise name_line(text, opening, UNCLOSED[sign])
        found = make_tag(sign, text[opening + 2 : end])
        if too_much := find_excess(found):
            raise name_line(text, opening, too_much)
        yield found
        at = end + 2
    if at < len(text):
        yield text[at:]


def find_openings(text: str) -> Iterator[int]:
    """Yield where each `{{` and `{%` begins, including those inside others."""
    return (found.start() for found in re.finditer(r"\{(?=[{%])", text))


def name_line(text: str, at: int, complaint: str) -> BadTemplate:
    """Return a complaint that names the line of a position."""
    line = text.count("\n", 0, at) + 1
    return BadTemplate(f"line {line}: {complaint}")


def make_tag(sign: str, inside: str) -> Tag:
    """Return a tag. Raises BadTemplate for one that turns Liquid off."""
    left = inside.startswith("-")
    inside = inside[1:] if left else inside
    right = inside.endswith("-")
    inside = inside[:-1] if right else inside
    if sign == "{%" and (unfit := UNFIT.match(inside)):
        raise BadTemplate(
            f"{unfit[1]} can't be used; what has to stay as it is can be given as text: {{{{ '{{{{' }}}}"
        )
    return Tag(sign, inside, left, right)


def find_excess(tag: Tag) -> str:
    """Return what is too much in a tag, "" if nothing is."""
    if len(tag.inside) > MAX_TAG:
        return f"a tag has {len(tag.inside):,} characters; at most {MAX_TAG:,} is allowed"
    return f"a tag has more than {MAX_FILTERS} filters" if tag.inside.count("|") > MAX_FILTERS else ""


def strip_ends(text: str) -> tuple[str, str, str]:
    """Return a text without the spaces at its ends, and for each end a space or its line breaks."""
    inner = text.strip()
    before = text[: len(text) - len(text.lstrip())]
    after = text[len(before) + len(inner) :]
    return shorten_spaces(before), inner, shorten_spaces(after) if inner else ""


def shorten_spaces(text: str) -> str:
    """Return the line breaks among spaces, up to KEPT_LINES, or one space if there are none."""
    return "\n" * min(text.count("\n"), KEPT_LINES) or " "


def write_liquid(opening: str, text: str) -> str:
    """Return the inside of a tag with each `@alert.…` as Liquid's own path. A path in `{{` may contain spaces."""
    first, bar, rest = text.partition("|")
    fits = opening == "{{" and first.startswith(FIELD) and not ("{" in first or "}" in first)
    if fits and (segments := split_path(first[len(FIELD) :].strip())) is not None:
        return f"{write_liquid_path(segments)} {bar}{replace_fields(rest)}"
    return replace_fields(text)


def replace_fields(text: str) -> str:
    """Return a part of a tag with each `@alert.…` as Liquid's own path. Strings in it stay unchanged."""

    def replaced(found: re.Match[str]) -> str:
        segments = split_path(found[1].removeprefix(".")) if found[1] is not None else None
        return found[0] if segments is None else write_liquid_path(segments)

    return STRING_OR_FIELD.sub(replaced, text)


def write_liquid_path(segments: list[str | int]) -> str:
    """Return a field of the document in Liquid."""
    quoted = (f"'{part}'" if isinstance(part, str) and '"' in part else f'"{part}"' for part in segments)
    parts = (str(part) if isinstance(part, int) else text for part, text in zip(segments, quoted, strict=True))
    return VARIABLE + "".join(f"[{part}]" for part in parts)
