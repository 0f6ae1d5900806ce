"""Breaking: the places in a file where it can be broken, and the file broken at one of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SUMS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
STATES = {  # of deliveries, destinations and batches: one for another
    "PENDING": "SENDING",
    "SENDING": "PENDING",
    "DELIVERED": "FAILED",
    "FAILED": "SUPPRESSED",
    "SUPPRESSED": "FAILED",
    "ACTIVE": "PAUSED",
    "PAUSED": "PARKED",
    "PARKED": "PAUSED",
    "OPEN": "SENT",
    "SENT": "SPLIT",
}
LEAVES = ast.Return | ast.Raise | ast.Continue | ast.Break
SAYS_ONLY = {"log", "logger", "warnings"}  # whoever tells people, not the code, what happens


class Break(NamedTuple):
    """A place in a file, by offsets into its UTF-8, and what stands there instead."""

    start: int
    end: int
    instead: str

    def of(self, source: str) -> str:
        """Return the file broken here."""
        text = source.encode()
        return (text[: self.start] + self.instead.encode() + text[self.end :]).decode()


def breaks(source: str) -> list[Break]:
    """Return every place where a file can be broken, in the order of the file."""
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []
    for node in code_of(ast.parse(source)):
        for part, instead in ways(node):
            start, end = lines[part.lineno - 1] + part.col_offset, lines[part.end_lineno - 1] + part.end_col_offset
            found.append(Break(start, end, instead))
    return sorted(found)


def code_of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that do something.

    No annotations, no columns of tables, which are the business of migrations, no f-strings, which have no places.
    """
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not is_column(child):
                yield from code_of(child)


def is_column(node: ast.AST) -> bool:
    """Whether it declares a column, or what the database holds of a table."""
    return (
        isinstance(node, ast.Call)
        and re.match(r"models\.[A-Z]\w+(?<!Manager)$", ast.unparse(node.func)) is not None
    )


def ways(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield the parts of a node to be replaced, each with what stands there instead."""
    match node:
        case ast.Compare(ops=[operator], left=left, comparators=[right]) if type(operator) in COMPARISONS:
            yield node, ast.unparse(ast.Compare(left, [COMPARISONS[type(operator)]()], [right]))
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield node, f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.BinOp(op=operator, left=left, right=right) if type(operator) in SUMS and not is_text(left, right):
            yield node, f"({ast.unparse(ast.BinOp(left, SUMS[type(operator)](), right))})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield node, repr(value + 1)
        case ast.If(test=test, body=[*_, last], orelse=[]) if isinstance(last, LEAVES):
            yield test, "False"
        case ast.Call(func=ast.Name(id=name) as called) if name in CALLS:
            yield called, CALLS[name]
        case ast.Attribute(value=ast.Name(id=owner), attr=state) if owner.endswith("State") and state in STATES:
            yield node, f"{owner}.{STATES[state]}"
        case ast.Expr(value=ast.Call(func=called)) if ast.unparse(called).split(".")[0] not in SAYS_ONLY:
            yield node, "pass"


def is_text(*nodes: ast.AST) -> bool:
    """Whether one of them is plainly a text, of which nothing can be taken away."""
    return any(
        isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", 0), str | bytes) for node in nodes
    )
