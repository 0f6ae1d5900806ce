"""Options: converts the options of an event sink to columns, and back."""

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
# Columns to set together with an option. The first heartbeat test comes after one interval; a new limit begins at
# once.
BESIDE: Mapping[str, dict[str, Any]] = {
    "drill_interval_s": {"drilled_at": Now()},
    "rate_limit_per_s": {"limited_until": None},
}


def make_columns(tenant: Tenant, options: Options, current: Destination | None = None) -> dict[str, Any]:
    """Return the columns of the given options. An option that is None is removed. Raises NotConfigurable.

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
    """Return the option's own column, None if it has none."""
    try:
        column: Any = Destination._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return column  # type: ignore[no-any-return]


def get_empty_value(column: Field[Any, Any], name: str) -> Any:
    """Return the value of a column whose option is removed."""
    return None if column.null else (make_empty(name) if make_empty(name) is not None else column.get_default())


def dump_option(value: Any) -> Any:
    """Return an option's value in the form in which it is stored."""
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def make_fallback_columns(tenant: Tenant, fallback: Fallback | None, own_id: int | None) -> dict[str, Any]:
    """Return the columns of a fallback, which is another sink of the same tenant. Raises NotConfigurable."""
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
    """Return the options of an event sink in the form in which they are shown and given."""
    return {name: show_option(destination, name) for name in Options.model_fields}


def show_option(destination: Destination, name: str) -> Any:
    """Return one option in the form in which it is shown. Return None if it is not set and has no default."""
    if name == "fallback":
        return show_fallback(destination)
    kept = getattr(destination, name) if find_column(name) is not None else destination.option(name)
    return None if kept in ("", {}) else kept


def show_fallback(destination: Destination) -> dict[str, Any] | None:
    """Return the fallback of an event sink in the form in which it is shown."""
    if destination.fallback is None:
        return None
    return {
        "event_sink_id": destination.fallback.uuid,
        "after_failures": destination.fallback_after_failures,
        "after_s": destination.fallback_after_s,
    }
