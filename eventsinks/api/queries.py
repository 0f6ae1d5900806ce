"""Reads the query of a request, for both APIs. A field may appear once; our own lists refuse unknown fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError
from rest_framework.request import Request

from eventsinks.lib.validation import check_no_nul, find_given_twice, list_errors

Input = TypeVar("Input", bound=BaseModel)
Wrong = Callable[[list[tuple[str, str]]], Exception]  # an error of one of the APIs, made of fields and messages


# A text of a query. SQLite accepts at most 50,000 bytes in a LIKE.
Text = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(check_no_nul)]


def read_query(model: type[Input], request: Request, wrong: Wrong, body: Mapping[str, Any] | None = None) -> Input:
    """Return the checked query together with the fields of `body`. An empty value counts as absent.

    Raises `wrong`. For an unknown field, the error names the known ones, if the model forbids others.
    """
    query, body = request.query_params, body or {}
    if problems := find_given_twice(model, query.lists()) or find_unknown(model, [*query, *body]):
        raise wrong(problems)
    given = nest_brackets({name: value for name, value in query.items() if value != ""})
    try:
        return model.model_validate({**given, **body})
    except ValidationError as error:
        raise wrong(list_errors(error)) from None


def find_unknown(model: type[BaseModel], names: Iterable[str]) -> list[tuple[str, str]]:
    """Return an error for each unknown name, if the model forbids unknown names."""
    if model.model_config.get("extra") != "forbid":
        return []
    known = ", ".join(model.model_fields)
    beyond = [name for name in names if name.partition("[")[0] not in model.model_fields]
    return [(name[:300] or '""', f"is not known; there is {known}") for name in beyond]


def nest_brackets(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return `pagination[page_size]=10` as `{"pagination": {"page_size": "10"}}`."""
    found: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for key, value in query.items():
        name, bracket, rest = key.partition("[")
        if bracket and rest.endswith("]"):
            inside.setdefault(name, {})[rest[:-1]] = value
        else:
            found[key] = value
    return {**found, **inside}
