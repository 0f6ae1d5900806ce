"""The text of a CEL expression: its clauses and how much it would do, read no deeper than needed.

The tokens of CEL: https://github.com/cel-expr/cel-spec/blob/master/doc/langdef.md#syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    | (?P<string>
        [bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\r\n]*"|'[^'\r\n]*')
        | [bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')
      )
    | (?P<word>`[^`\n]*`)
    | (?P<macro>(?:all|exists|exists_one|existsOne|map|filter)(?:\s|//[^\n]*+)*+\()
    | (?P<name>[A-Za-z_]\w*)
    | (?P<operator>&&|\|\||.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
OPEN, CLOSE = "([{", ")]}"


MACROS_THAT_BUILD = frozenset(["map", "filter"])
LITERALS = frozenset(["true", "false", "null", "in"])
# Operations that may look at a whole value.
LOOKING = frozenset(["bytes", "contains", "double", "duration", "dyn", "endsWith", "has", "in", "int", "matches"])
LOOKING |= {"size", "startsWith", "string", "timestamp", "type", "uint", "=", "<", ">", "+", "["}


@dataclass(frozen=True, slots=True)
class ExpressionShape:
    """The counts of what an expression contains.

    `builders` are the macros that make a list. `operations` are those that may look at a whole value. `goes_out`:
    inside a macro, another macro walks something that does not come from the first one. `looks_out`: inside a
    macro, each round looks at something else of the document.
    """

    nesting: int
    macros: int
    macro_nesting: int
    pluses: int
    pluses_in_macros: int
    builders: int = 0
    operations: int = 0
    goes_out: bool = False
    looks_out: bool = False


def read_tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the tokens of an expression: the sort, the text, and the position."""
    for found in TOKEN.finditer(text):
        yield str(found.lastgroup), found[0], found.start()


def measure_shape(text: str) -> ExpressionShape:
    """Return how much an expression does. If that is unclear, return too much rather than too little."""
    inside: list[bool] = []  # for each open bracket: whether it is a macro's
    nesting = macros = macro_nesting = pluses = pluses_in_macros = builders = operations = 0
    for sort, token, _ in read_tokens(text):
        operations += token in LOOKING
        if sort == "macro" or (sort == "operator" and token in OPEN):
            inside.append(sort == "macro")
            macros += sort == "macro"
            builders += sort == "macro" and token.startswith(tuple(MACROS_THAT_BUILD))
        elif sort == "operator" and token in CLOSE and inside:
            inside.pop()
        elif sort == "operator" and token == "+":
            pluses += 1
            pluses_in_macros += any(inside)
        nesting, macro_nesting = max(nesting, len(inside)), max(macro_nesting, sum(inside))
    uses = set(find_outer_names(text)) if macros else set()
    return ExpressionShape(
        nesting,
        macros,
        macro_nesting,
        pluses,
        pluses_in_macros,
        builders,
        operations,
        goes_out=bool(uses),
        looks_out="look" in uses,
    )


def find_outer_names(text: str) -> Iterator[str]:
    """Yield how a macro uses each name that it does not define itself.

    A name is a "range" if another macro walks it. Any other use is a "look".
    """
    found = [(sort, token) for sort, token, _ in read_tokens(text) if sort != "comment" and not token.isspace()]
    inside: list[str | None] = []  # for each open bracket: the variable of a macro, None if it is not a macro's
    for index, (sort, token) in enumerate(found):
        if sort == "macro" or (sort == "operator" and token in OPEN):
            inside.append(found[index + 1][1] if sort == "macro" and index + 1 < len(found) else None)
        elif sort == "operator" and token in CLOSE and inside:
            inside.pop()
        elif any(inside) and token not in inside and is_outer_name(found, index):
            yield "range" if is_range(found, index + 1) else "look"


def is_outer_name(found: Sequence[tuple[str, str]], at: int) -> bool:
    """Whether a token is a name that stands alone: not a field, a function or a literal."""
    sort, token = found[at]
    if sort not in ("name", "word") or token in LITERALS:
        return False
    return found[at - 1][1] != "." and found[at + 1 : at + 2] != [("operator", "(")]


def is_range(found: Sequence[tuple[str, str]], at: int) -> bool:
    """Whether only names after dots follow a name, and then a macro."""
    while found[at : at + 1] == [("operator", ".")] and at + 1 < len(found):
        if found[at + 1][0] == "macro":
            return True
        at += 2
    return False


def split_clauses(text: str) -> list[str]:
    """Return the clauses that `&&` joins, or the whole text as one if an operator beside them binds weaker."""
    found, begins, depth = [], 0, 0
    for sort, token, at in read_tokens(text):
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


def find_patterns(text: str) -> Iterator[str]:
    """Yield the argument of each `matches`: a string as it is written, "" for anything else."""
    found = [token for sort, token, _ in read_tokens(text) if sort != "comment" and not token.isspace()]
    for index, token in enumerate(found):
        if token == "matches" and found[index + 1 : index + 2] == ["("]:
            given, closed = [*found[index + 2 : index + 4], "", ""][:2]
            yield given if given[-1:] in ("'", '"') and closed == ")" else ""


def quote(text: str) -> str:
    """Return a text as a CEL string. CEL has the same escapes as JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
