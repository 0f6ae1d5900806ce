"""What a tenant may say of any event sink, whatever its type: what it hears, how it is told, and when not."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.event_filter import EventFilter
from eventsinks.lib.event_key import EventKey

DAY = 86_400  # seconds
FIELD_PATH = r"^[^\s.\x00]+(\.[^\s.\x00]+){0,9}$"

Window = Annotated[StrictInt, Field(ge=1, le=7 * DAY)]  # seconds


def check_filter(text: str) -> str:
    """Raise lib.event_filter.BadFilter, which is a ValueError, for what is no filter; "" hears everything."""
    if text.strip():
        EventFilter(text)
    return text.strip()


def check_event_type(key: str) -> str:
    """Raise ValueError for a type of events that there is not, or that nobody chooses to hear."""
    chosen = [found for found, event_type in EVENT_TYPES.items() if not event_type.ours]
    if key not in chosen:
        raise ValueError(f"must be one of {', '.join(chosen)}")
    return key


HeardType = Annotated[str, AfterValidator(check_event_type)]


class Shape(BaseModel):
    """One of the shapes below: nothing else may stand in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Throttle(Shape):
    """At most `limit` alerts in `window_s` seconds."""

    limit: Annotated[StrictInt, Field(ge=1, le=100_000)]
    window_s: Window


class Group(Shape):
    """One alert in `window_s` seconds for each combination of the values of the fields `by`, as `user.name`."""

    by: Annotated[tuple[Annotated[str, Field(max_length=200, pattern=FIELD_PATH)], ...], Field(min_length=1)]
    window_s: Window


class Quiet(Shape):
    """What holds alerts back, beside silences. Each window ends in one round-up of what it held back.

    `dedup_window_s`: of the alerts of one incident (one `dedup_key`) only the first in so many seconds goes on.
    Only alerts that are firing are held back; acknowledged and resolved ones always go on.
    """

    dedup_window_s: Window | None = None
    group: Group | None = None
    throttle: Throttle | None = None


class Fallback(Shape):
    """Where an alert goes too when it could not be delivered: after so many failures or seconds, or for good."""

    event_sink_id: UUID
    after_failures: Annotated[StrictInt, Field(ge=1, le=100)] = 3
    after_s: Annotated[StrictInt, Field(ge=1, le=7 * DAY)] = 600


def check_key(text: str) -> str:
    """Raise lib.event_key.BadKey, which is a ValueError, for what is no ordering key; "" is none."""
    if text.strip():
        EventKey(text)
    return text.strip()


class Options(Shape):
    """The options of an event sink. None takes one away."""

    filter: Annotated[str, AfterValidator(check_filter)] | None = None
    alert_template: AlertTemplate | None = None
    quiet: Quiet | None = None
    fallback: Fallback | None = None
    drill_interval_s: Annotated[StrictInt, Field(ge=60, le=90 * DAY)] | None = None
    rate_limit_per_s: Annotated[float, Field(strict=True, ge=0.001, le=1_000)] | None = None
    event_types: Annotated[list[HeardType], Field(max_length=10)] | None = None
    ordering: Literal["incident", "event_sink", "none"] | None = None
    ordering_key: Annotated[str, AfterValidator(check_key)] | None = None
    ordering_policy: Literal["skip", "wait"] | None = None

    def given(self) -> dict[str, Any]:
        """Return only what was said."""
        return {name: getattr(self, name) for name in Options.model_fields if name in self.model_fields_set}
