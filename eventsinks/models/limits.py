"""Limits: what one tenant may have and do, declared once.

These use it: the setting EVENTSINKS_LIMITS, the stored limits of a tenant, the form of the admin, /v1/tenant,
/v1/usage and the table in docs/operating.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, StrictInt, create_model

MOST = 1_000_000_000  # the largest value of any limit


class Rate(NamedTuple):
    """Marks a limit as a number in `seconds`; `burst` seconds' worth may come at once."""

    seconds: int
    burst: int


Count = Annotated[StrictInt, Field(ge=0, le=MOST)]
PerSecond = Annotated[StrictInt, Field(ge=1, le=MOST), Rate(1, 10)]
PerMinute = Annotated[StrictInt, Field(ge=1, le=MOST), Rate(60, 60)]
PerHour = Annotated[StrictInt, Field(ge=1, le=MOST), Rate(3600, 3600)]


class TenantLimits(BaseModel):
    """The limits of one tenant. What is over a limit that was lowered stays, and can only become less."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_sinks: Count = Field(100, description="Event sinks, and so requests that one alert can owe.")
    integrations: Count = Field(50, description="Integrations.")
    api_keys: Count = Field(100, description="API keys that are neither revoked nor expired.")
    silences: Count = Field(500, description="Silences that have not ended.")
    pending_per_sink: Count = Field(
        1_000_000, description="Deliveries that wait at one event sink. What comes then has failed at once."
    )
    requests_per_s: PerSecond = Field(10_000, description="API requests of any kind.")
    alerts_per_s: PerSecond = Field(10_000, description="Detection alerts taken in; each of an array counts.")
    events_per_s: PerSecond = Field(50_000, description="Audit and network-traffic events taken in, together.")
    tests_at_once: Count = Field(3, description="Tests and trials under way: whatever waits for a far end.")
    tests_per_min: PerMinute = Field(60, description="Tests and trials.")
    replays_at_once: Count = Field(20, description="Replays under way, of event sinks and of integrations.")
    replays_per_h: PerHour = Field(200, description="Replays started.")
    slack_installs_per_h: PerHour = Field(60, description="Installations of the Slack app begun.")


NAMES = tuple(TenantLimits.model_fields)
RATES = {
    name: mark
    for name, field in TenantLimits.model_fields.items()
    for mark in field.metadata
    if isinstance(mark, Rate)
}
# Some of the limits, to set a tenant's own; None means the server's.
own: dict[str, Any] = {
    name: (field.rebuild_annotation() | None, Field(None, description=field.description))
    for name, field in TenantLimits.model_fields.items()
}
OwnLimits: type[BaseModel] = create_model(
    "OwnLimits", __config__=ConfigDict(extra="forbid", hide_input_in_errors=True), **own
)


def get_server_limits() -> TenantLimits:
    """Return the limits of a tenant that has none of its own."""
    return get_limits({})


def get_limits(own: Mapping[str, int]) -> TenantLimits:
    """Return the limits of a tenant: its own where there are any, the server's otherwise."""
    return _limits(tuple(settings.EVENTSINKS_LIMITS.items()), tuple(own.items()))


@functools.lru_cache(10_000)
def _limits(*said: tuple[tuple[str, int], ...]) -> TenantLimits:
    """Return the limits that the last of `said` names; a name that is none any more is passed over."""
    return TenantLimits(**{name: value for some in said for name, value in some if name in NAMES})


def describe_limit(name: str, value: int) -> str:
    """Return a limit as text: `10`, `10 a second`."""
    if (rate := RATES.get(name)) is None:
        return f"{value:,}"
    return f"{value:,} {({1: 'a second', 60: 'a minute', 3600: 'an hour'})[rate.seconds]}"


def get_burst(name: str, value: int) -> int:
    """Return how many of a rate may come at once."""
    rate = RATES[name]
    return value * rate.burst // rate.seconds
