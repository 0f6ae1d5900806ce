"""Options: turn what a tenant says of an event sink beside its config into columns, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field
from django.db.models.functions import Now
from pydantic import BaseModel

from eventsinks.actions.errors import FieldError, NotConfigurable
from eventsinks.models import Destination, Tenant
from eventsinks.models.options import Fallback, Options, make_empty

NO_FALLBACK = {"fallback_id": None, "fallback_after_failures": 3, "fallback_after_s": 600}
# What else is set with an option: the first drill comes after one interval, a new limit begins at once.
BESIDE: Mapping[str, dict[str, Any]] = {
    "drill_interval_s": {"drilled_at": Now()},
    "rate_limit_per_s": {"limited_until": None},
}


def make_columns(tenant: Tenant, options: Options, current: Destination | None = None) -> dict[str, Any]:
    """Return the columns of the options that are given; None takes an option away. Raises NotConfigurable.

    `current` is the event sink as it is, None for a new one.
    """
    columns: dict[str, Any] = {}
    without_column = dict(current.options) if current else {}
    for name, value in options.given().items():
        if name == "fallback":
            columns |= make_fallback_columns(tenant, value, current.id if current else None)
        elif (column := find_column(name)) is not None:
            columns |= {
                name: get_empty_value(column, name) if value is None else dump_option(value),
                **BESIDE.get(name, {}),
            }
        elif value is None:
            without_column.pop(name, None)
        else:
            without_column[name] = dump_option(value)
    before = current.options if current else {}
    return columns if without_column == before else {**columns, "options": without_column}


def find_column(name: str) -> Field[Any, Any] | None:
    """Return the column that an option has of its own, None where it has none."""
    try:
        column: Any = Destination._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return column  # type: ignore[no-any-return]


def get_empty_value(column: Field[Any, Any], name: str) -> Any:
    """Return what stands in a column where the option is taken away."""
    return None if column.null else (make_empty(name) if make_empty(name) is not None else column.get_default())


def dump_option(value: Any) -> Any:
    """Return an option's value as it is kept."""
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def make_fallback_columns(tenant: Tenant, fallback: Fallback | None, own_id: int | None) -> dict[str, Any]:
    """Return the columns of a fallback sink: another one of the same tenant. Raises NotConfigurable."""
    if fallback is None:
        return dict(NO_FALLBACK)
    sinks = Destination.objects.of(tenant).sinks().filter(uuid=fallback.event_sink_id)
    found = sinks.exclude(id=own_id or 0).values_list("id", flat=True).first()
    if found is None:
        message = "no such event sink, or the event sink itself"
        raise NotConfigurable(FieldError("fallback.event_sink_id", message, option=True))
    return {
        "fallback_id": found,
        "fallback_after_failures": fallback.after_failures,
        "fallback_after_s": fallback.after_s,
    }


def show_options(destination: Destination) -> dict[str, Any]:
    """Return the options of an event sink as they are shown and given."""
    return {name: show_option(destination, name) for name in Options.model_fields}


def show_option(destination: Destination, name: str) -> Any:
    """Return one option as it is shown: None where it is not set, and nothing stands for it."""
    if name == "fallback":
        return show_fallback(destination)
    kept = getattr(destination, name) if find_column(name) is not None else destination.option(name)
    return None if kept in ("", {}) else kept


def show_fallback(destination: Destination) -> dict[str, Any] | None:
    """Return the fallback of an event sink as it is shown."""
    if destination.fallback is None:
        return None
    return {
        "event_sink_id": destination.fallback.uuid,
        "after_failures": destination.fallback_after_failures,
        "after_s": destination.fallback_after_s,
    }
