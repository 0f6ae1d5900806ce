"""The text of a CEL expression, read no deeper than needed: its clauses, and how much it would do.

CEL's tokens: https://github.com/cel-expr/cel-spec/blob/master/doc/langdef.md#syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    | (?P<string>
        [bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\r\n]*"|'[^'\r\n]*')
        | [bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')
      )
    | (?P<word>`[^`\n]*`)
    | (?P<macro>(?:all|exists|exists_one|existsOne|map|filter)(?:\s|//[^\n]*)*\()
    | (?P<name>[A-Za-z_]\w*)
    | (?P<operator>&&|\|\||.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
OPEN, CLOSE = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what there is in an expression."""

    nesting: int
    macros: int
    macro_nesting: int
    pluses: int
    pluses_in_macros: int


def tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the tokens of an expression: what sort, the text, and where it begins."""
    for found in TOKEN.finditer(text):
        yield str(found.lastgroup), found[0], found.start()


def shape(text: str) -> Shape:
    """Return how much an expression does. Too much rather than too little, where it can't be told."""
    inside: list[bool] = []  # for each open bracket: whether it is a macro's
    nesting = macros = macro_nesting = pluses = pluses_in_macros = 0
    for sort, token, _ in tokens(text):
        if sort == "macro" or (sort == "operator" and token in OPEN):
            inside.append(sort == "macro")
            macros += sort == "macro"
        elif sort == "operator" and token in CLOSE and inside:
            inside.pop()
        elif sort == "operator" and token == "+":
            pluses += 1
            pluses_in_macros += any(inside)
        nesting, macro_nesting = max(nesting, len(inside)), max(macro_nesting, sum(inside))
    return Shape(nesting, macros, macro_nesting, pluses, pluses_in_macros)


def clauses(text: str) -> list[str]:
    """Return the clauses that `&&` joins; the whole as one where an operator that binds weaker is beside them."""
    found, begins, depth = [], 0, 0
    for sort, token, at in tokens(text):
        if sort == "macro" or (sort == "operator" and token in OPEN):
            depth += 1
        elif sort == "operator" and token in CLOSE:
            depth -= 1
        elif depth == 0 and sort == "operator" and token in ("||", "?"):
            return [text.strip()]
        elif depth == 0 and sort == "operator" and token == "&&":
            found.append(text[begins:at].strip())
            begins = at + len(token)
    return [*found, text[begins:].strip()]


def patterns(text: str) -> Iterator[str]:
    """Yield what each `matches` is given: a string as it is written, "" for anything else."""
    found = [token for sort, token, _ in tokens(text) if sort != "comment" and not token.isspace()]
    for index, token in enumerate(found):
        if token == "matches" and found[index + 1 : index + 2] == ["("]:
            given, closed = [*found[index + 2 : index + 4], "", ""][:2]
            yield given if given[-1:] in ("'", '"') and closed == ")" else ""


def quoted(text: str) -> str:
    """Return a text as a CEL string. JSON's escapes are CEL's, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
