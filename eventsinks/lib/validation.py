"""Validation: turns pydantic's errors into text for people that names the field and says what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

NUL = "must not contain NUL characters"


def list_errors(error: ValidationError, prefix: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return every error as (path of the field, message); the path starts with `prefix`."""
    return [
        (".".join([*prefix, *map(str, detail["loc"])]), detail["msg"].removeprefix("Value error, "))
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def get_first_error(error: ValidationError) -> tuple[str, str]:
    """Return the first error as (path of the field, message)."""
    return list_errors(error)[0]


def find_given_twice(model: type[BaseModel], query: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, str]]:
    """Return an error, as `list_errors` does, for each field of `model` that appears more than once in a query."""
    return [
        (name, "must not be given more than once")
        for name, values in query
        if len(values) > 1 and name.partition("[")[0] in model.model_fields
    ]


def check_no_nul(text: str) -> str:
    """Raise ValueError for a NUL: no database column accepts one."""
    if "\0" in text:
        raise ValueError(NUL)
    return text


def find_fields_with_nul(document: Any) -> Iterator[str]:
    """Yield the path of each text and each name that contains a NUL. In a path, a NUL is escaped as in JSON."""
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        path, value = left.pop()
        if isinstance(value, str) and "\0" in value:
            yield path
        inside = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        for name, inner in inside:
            field = f"{path}.{name}".lstrip(".").replace("\0", "\\u0000")[:300]
            if "\0" in str(name):
                yield field
            left.append((field, inner))
