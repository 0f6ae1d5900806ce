"""Event sinks as Scanner's /v1/event_sink takes and shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, create_model, field_validator

from eventsinks.actions.options import show_options
from eventsinks.api.v1.event_sink_args import ARGS_SCHEMA, show_args, show_type
from eventsinks.api.v1.view import Description, Name
from eventsinks.models import Clearing, Destination
from eventsinks.models.delivery import count_behind
from eventsinks.models.destination import DestinationState
from eventsinks.models.options import Options


def use_args_schema(schema: dict[str, Any]) -> None:
    """Put the schema of every type's arguments where pydantic only knows an object."""
    schema.clear()
    schema.update(ARGS_SCHEMA)


OPTIONS: Any = Options.model_fields
ARGS: Any = Field(json_schema_extra=use_args_schema)


class CreateEventSink(Options):
    """A new event sink. Its options are ours."""

    model_config = ConfigDict(extra="ignore")

    tenant_id: str = Field(json_schema_extra={"format": "uuid"})
    name: Name
    description: Description
    event_sink_args: dict[str, Any] = ARGS
    enabled: StrictBool = True


class UpdateEventSink(Options):
    """What changes of an event sink: what is absent or null stays, but for an option: null takes it away."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = Field(None, json_schema_extra={"format": "uuid"})
    name: Name | None = None
    description: Description | None = None
    event_sink_args: dict[str, Any] | None = None
    enabled: StrictBool | None = None

    @field_validator("id")
    @classmethod
    def lower(cls, id: str | None) -> str | None:
        """UUIDs are the same in either case."""
        return id.lower() if id else id


# The options of an event sink, all of them, as they are declared.
SHOWN: dict[str, Any] = {
    name: (one.annotation, Field(description=one.description)) for name, one in OPTIONS.items()
}
OptionsOut = create_model("OptionsOut", **SHOWN)


class OrderingLag(BaseModel):
    """How many deliveries wait for an earlier one, 10,000 at most, and since when the first of them does."""

    waiting: int
    since: str | None


class EventSinkOut(OptionsOut):  # type: ignore[misc, valid-type]
    """An event sink."""

    id: str
    tenant_id: str
    name: str
    description: str
    event_sink_type: str
    destination_type: str
    configuration: dict[str, Any]
    integration_id: str | None
    created_at: str
    updated_at: str
    enabled: bool
    state: str
    state_reason: str
    clearing: dict[str, Any] | None = None  # only where a backlog is being suppressed
    ordering_lag: OrderingLag


class OneEventSink(BaseModel):
    """One event sink in its envelope."""

    event_sink: EventSinkOut


class ManyEventSinks(BaseModel):
    """Event sinks in the envelopes of both editions of the API."""

    data: dict[str, list[EventSinkOut]]
    event_sinks: list[EventSinkOut]
    pagination: dict[str, str | None] | None


class Deleted(BaseModel):
    """What was deleted."""

    id: str
    tenant_id: str


def show_sink(sink: Destination) -> dict[str, Any]:
    """Return an event sink as it is shown. Opens no secret."""
    return {
        "id": sink.uuid,
        "tenant_id": sink.tenant_id,
        "name": sink.name,
        "description": sink.description,
        "event_sink_type": show_type(sink),
        "destination_type": sink.type,
        "configuration": show_args(sink),
        "integration_id": sink.slack_workspace_id,
        "created_at": sink.created_at,
        "updated_at": sink.updated_at,
        "enabled": sink.enabled,
        "state": sink.state,
        "state_reason": sink.state_reason,
        **show_clearing(sink),
        **show_options(sink),
        "ordering_lag": count_behind(sink.id)._asdict(),
    }


def show_clearing(sink: Destination) -> dict[str, Any]:
    """Return how far the suppressing of what a sink skips is; nothing where nothing is left of it.

    `left` counts among the 1,000 deliveries that wait the longest; `left_capped`: more wait.
    """
    if sink.state == DestinationState.ACTIVE:
        return {}
    clearing = Clearing.objects.running().filter(destination_id=sink.id).first()
    if clearing is None:
        return {}
    left, capped = clearing.left()
    told = {"asked_at": clearing.asked_at, "suppressed": clearing.suppressed}
    return {"clearing": {**told, "left": left, "left_capped": capped}}
