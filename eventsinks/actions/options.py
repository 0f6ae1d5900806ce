"""Options: turn what a tenant says of an event sink beside its config into columns, and back."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from eventsinks.actions.errors import FieldError, NotConfigurable
from eventsinks.models import Destination, Tenant
from eventsinks.models.options import Fallback, Options

# What options of plain texts are where a tenant takes them away.
PLAIN = {"filter": "", "ordering": "incident", "ordering_key": "", "ordering_policy": "skip"}
NO_FALLBACK = {"fallback_id": None, "fallback_after_failures": 3, "fallback_after_s": 600}


def columns_of(tenant: Tenant, options: Options, own_id: int | None = None) -> dict[str, Any]:
    """Return the columns of the options that are given; None takes an option away. Raises NotConfigurable."""
    columns: dict[str, Any] = {}
    for name, value in options.given().items():
        if name == "fallback":
            columns |= fallback_columns(tenant, value, own_id)
        elif name == "drill_interval_s":
            columns |= {name: value, "drilled_at": Now()}  # the first drill comes after one interval
        elif name == "rate_limit_per_s":
            columns |= {name: value, "limited_until": None}
        elif name in PLAIN:
            columns[name] = value or PLAIN[name]
        elif name == "event_types":
            columns[name] = value if value is not None else ["detection_alert"]
        else:
            empty: Any = {} if name == "quiet" else None
            columns[name] = value.model_dump(mode="json", exclude_none=True) if value else empty
    return columns


def fallback_columns(tenant: Tenant, fallback: Fallback | None, own_id: int | None) -> dict[str, Any]:
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


def options_out(destination: Destination) -> dict[str, Any]:
    """Return the options of an event sink as they are shown and given."""
    fallback = None
    if destination.fallback is not None:
        fallback = {
            "event_sink_id": destination.fallback.uuid,
            "after_failures": destination.fallback_after_failures,
            "after_s": destination.fallback_after_s,
        }
    return {
        "filter": destination.filter or None,
        "alert_template": destination.alert_template,
        "quiet": destination.quiet or None,
        "fallback": fallback,
        "drill_interval_s": destination.drill_interval_s,
        "rate_limit_per_s": destination.rate_limit_per_s,
        "event_types": destination.event_types,
        "ordering": destination.ordering,
        "ordering_key": destination.ordering_key or None,
        "ordering_policy": destination.ordering_policy,
    }
