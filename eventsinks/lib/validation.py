"""Turn pydantic's errors into what a person is told: which field, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError


def errors(error: ValidationError, prefix: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return every error as (path of the field, message); the path starts with `prefix`."""
    return [
        (".".join([*prefix, *map(str, detail["loc"])]), detail["msg"].removeprefix("Value error, "))
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return the first error as (path of the field, message)."""
    return errors(error)[0]


def given_twice(model: type[BaseModel], query: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, str]]:
    """Return an error, as `errors` does, for each field of `model` that a query gives more than once."""
    return [
        (name, "must not be given more than once")
        for name, values in query
        if len(values) > 1 and name.partition("[")[0] in model.model_fields
    ]
