"""Options: what a tenant may set for any event sink, no matter its type."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from eventsinks.event_types import EVENT_TYPES
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.filters.event_filter import EventFilter
from eventsinks.lib.filters.event_key import EventKey

DAY = 86_400  # seconds
FIELD_PATH = r"^[^\s.\x00]+(\.[^\s.\x00]+){0,9}$"

Window = Annotated[StrictInt, Field(ge=1, le=7 * DAY)]  # seconds


def check_filter(text: str) -> str:
    """Return the filter without outer blanks; "" wants every event. Raises BadFilter, which is a ValueError."""
    if text.strip():
        EventFilter(text)
    return text.strip()


def check_event_type(key: str) -> str:
    """Check the key of an event type. Raises ValueError if it is unknown."""
    if key not in EVENT_TYPES:
        raise ValueError(f"must be one of {', '.join(EVENT_TYPES)}")
    return key


HeardType = Annotated[str, AfterValidator(check_event_type)]
HeardTypes = Annotated[list[HeardType], Field(max_length=10)]


class OptionShape(BaseModel):
    """One of the shapes below: nothing else may stand in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Throttle(OptionShape):
    """At most `limit` alerts in `window_s` seconds."""

    limit: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(description="how many alerts go on")
    window_s: Window = Field(description="in how many seconds")


class Group(OptionShape):
    """One alert in `window_s` seconds for each combination of the values of the fields `by`, as `user.name`."""

    by: Annotated[tuple[Annotated[str, Field(max_length=200, pattern=FIELD_PATH)], ...], Field(min_length=1)] = (
        Field(description="the paths of the fields")
    )
    window_s: Window = Field(description="one in how many seconds")


class Quiet(OptionShape):
    """What holds alerts back, beside silences. Each window ends in one digest of what it held back.

    `dedup_window_s`: of the alerts of one incident (one `dedup_key`) only the first in so many seconds goes on.
    Only alerts that are firing are held back; acknowledged and resolved ones always go on.
    """

    dedup_window_s: Window | None = Field(None, description="one of an incident in how many seconds")
    group: Group | None = Field(None, description="one of a group")
    throttle: Throttle | None = Field(None, description="so many of all")


class Fallback(OptionShape):
    """Where an alert goes too when it could not be delivered: after so many failures or seconds, or for good."""

    event_sink_id: UUID = Field(description="the other event sink")
    after_failures: Annotated[StrictInt, Field(ge=1, le=100, description="after so many failures")] = 3
    after_s: Annotated[StrictInt, Field(ge=1, le=7 * DAY, description="after so many seconds")] = 600


def check_key(text: str) -> str:
    """Return the ordering key without outer blanks; "" means none. Raises BadKey, which is a ValueError."""
    if text.strip():
        EventKey(text)
    return text.strip()


class Kept(NamedTuple):
    """The default of an option that was not set or was removed: `empty`, if that is not null."""

    empty: Any


def option(text: str) -> Any:
    """Return the field of an option, which may be absent. `text` explains it in docs/api.md."""
    return Field(None, description=text)


class Options(OptionShape):
    """The options of an event sink, each declared here and nowhere else. None takes one away.

    An option is kept in the column of its name where SQL reads it, else in `Destination.options`.
    """

    filter: Annotated[str, AfterValidator(check_filter)] | None = option(
        'CEL over the alert: `severity_id >= 4 && "prod" in tags` '
        "([filters-and-templates.md](filters-and-templates.md)). An alert that names its sinks goes past their "
        "filters"
    )
    alert_template: AlertTemplate | None = option(
        '`{"info": [{"label", "value", "use_for_dedup"}], "actions": [{"label", "value"}]}`, '
        "as Scanner's rules have it"
    )
    quiet: Quiet | None = option(
        '`{"dedup_window_s", "group": {"by": ["detection_rule_id"], "window_s"}, '
        '"throttle": {"limit", "window_s"}}`, '
        "each optional. Only alerts that are firing are held back; each window ends in one digest: "
        "`+37 like this, 12:00–12:10 UTC, last: …`"
    )
    fallback: Fallback | None = option(
        '`{"event_sink_id", "after_failures": 3, "after_s": 600}`: what failed so often, waits so long or was '
        "refused for good goes there too, marked"
    )
    drill_interval_s: Annotated[StrictInt, Field(ge=60, le=90 * DAY)] | None = option(
        "a fire drill so often, at least 60 seconds apart"
    )
    rate_limit_per_s: Annotated[float, Field(strict=True, ge=0.001, le=1_000)] | None = option(
        "messages a second at most, 0.001 to 1,000, over all workers; what is more waits"
    )
    event_types: Annotated[HeardTypes | None, Kept(["detection_alert"])] = option(
        "what it hears: `detection_alert` (default), `audit`, `network_traffic`, `proxy`, `notice` (that an event "
        "sink or integration of the tenant is failing, disabled or well again)"
    )
    ordering: Annotated[Literal["incident", "event_sink", "none"] | None, Kept("incident")] = option(
        "what is sent one after another, in the order in which it was accepted: `incident` (default: alerts of "
        "one incident, by `dedup_key` or by the marked values of a template), `event_sink` (everything), `none`"
    )
    ordering_key: Annotated[str, AfterValidator(check_key)] | None = option(
        "CEL over the event, as `user.name`: what has the same value is sent in order, instead of what `ordering` "
        'says. Null, "" and what can\'t be evaluated wait for nothing'
    )
    ordering_policy: Annotated[Literal["skip", "wait"] | None, Kept("skip")] = option(
        "when one has failed for good: `skip` (default) lets the next go, `wait` holds it until the failed one is "
        "replayed or skipped"
    )

    def given(self) -> dict[str, Any]:
        """Return only the options that were given."""
        return {name: getattr(self, name) for name in Options.model_fields if name in self.model_fields_set}


def make_empty(name: str) -> Any:
    """Return the default of an option, a new value each time."""
    kept = (one.empty for one in Options.model_fields[name].metadata if isinstance(one, Kept))
    return deepcopy(next(kept, None))
