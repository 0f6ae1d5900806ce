"""The shapes of event sinks in requests and answers of Scanner's /v1/event_sink."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    create_model,
    field_validator,
)

from eventsinks.actions.options import show_options
from eventsinks.actions.status import DestinationStatus, explain_failing, find_status
from eventsinks.api.v1.event_sink_args import (
    WIRE_TYPES,
    make_args_schema,
    make_changes_schema,
    make_shown_schema,
    show_args,
    show_type,
)
from eventsinks.api.v1.shapes import NextPage
from eventsinks.api.v1.view import Description, Name
from eventsinks.models import Clearing, Destination
from eventsinks.models.delivery import count_behind
from eventsinks.models.destination import DestinationState
from eventsinks.models.options import Options

OPTIONS: Any = Options.model_fields
# For pydantic, these are only objects.
Args = Annotated[dict[str, Any], WithJsonSchema(make_args_schema())]
Changes = Annotated[dict[str, Any], WithJsonSchema(make_changes_schema())]
ShownArgs = Annotated[dict[str, Any], WithJsonSchema(make_shown_schema())]


class CreateEventSink(Options):
    """A new event sink. Its options are our own fields."""

    model_config = ConfigDict(extra="ignore")

    tenant_id: str = Field(json_schema_extra={"format": "uuid"}, description="the key's own")
    name: Name = Field(description="what people call it")
    description: Description = Field(description="what it is for")
    event_sink_args: Args = Field(description="its type, and the arguments of the type")
    enabled: StrictBool = Field(True, description="whether it sends; else it is paused")


class UpdateEventSink(Options):
    """The changes of an event sink. Absent or null fields stay. A null option is removed."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = Field(None, json_schema_extra={"format": "uuid"}, description="its own, as in the path")
    name: Name | None = Field(None, description="what people call it")
    description: Description | None = Field(None, description="what it is for")
    event_sink_args: Changes | None = Field(None, description="the arguments of its type that change")
    enabled: StrictBool | None = Field(None, description="whether it sends")

    @field_validator("id")
    @classmethod
    def lower(cls, id: str | None) -> str | None:
        """Return a UUID in lower case: both cases mean the same."""
        return id.lower() if id else id


# All options of an event sink, as they are declared.
SHOWN: dict[str, Any] = {
    name: (one.annotation, Field(description=one.description)) for name, one in OPTIONS.items()
}
OptionsOut = create_model("OptionsOut", **SHOWN)


class OrderingLag(BaseModel):
    """The deliveries that wait for an earlier one: how many, and since when."""

    waiting: int = Field(description="how many deliveries wait for an earlier one, at most 10,000")
    since: datetime | None = Field(description="since when the first of them waits")


class ClearingOut(BaseModel):
    """A backlog that is being suppressed."""

    asked_at: datetime = Field(description="since when it is")
    suppressed: int = Field(description="how many deliveries are suppressed so far")
    left: int = Field(description="how many are left of the 1,000 that wait the longest")
    left_capped: bool = Field(description="whether more than these wait")


class EventSinkOut(OptionsOut):  # type: ignore[misc, valid-type]
    """An event sink."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it is")
    name: str = Field(description="what people call it")
    description: str = Field(description="what it is for")
    event_sink_type: Literal["PagerDuty", "Slack", "Tines", "Webhook"] = Field(
        description="its type as Scanner knows it: `Webhook` for every type of ours"
    )
    destination_type: str = Field(description="its own type", json_schema_extra={"enum": [*sorted(WIRE_TYPES)]})
    configuration: ShownArgs
    integration_id: UUID | None = Field(description="its Slack workspace, where it has one")
    created_at: datetime = Field(description="when it was made")
    updated_at: datetime = Field(description="when it was changed last")
    enabled: bool = Field(description="whether it sends")
    state: DestinationState = Field(description="whether it sends, and what else it does")
    state_reason: str = Field(description="why it is so")
    status: DestinationStatus = Field(
        description="how it is, in one word; `disabled`: the service itself stopped it; `open`: so much failed "
        "that it is only tried from time to time; `failing`: half of its tries fail, or more"
    )
    failing_since: datetime | None = Field(
        description="since when it is `failing` or `open`; null where it is not"
    )
    failing_reason: str = Field(description="what its last failure was, while it is `failing` or `open`")
    clearing: ClearingOut = Field(None, description="absent, unless a backlog is being suppressed")  # type: ignore[assignment]
    ordering_lag: OrderingLag = Field(description="what waits for an earlier delivery")


class OneEventSink(BaseModel):
    """One event sink in its envelope."""

    event_sink: EventSinkOut = Field(description="the event sink, as it is now")


class EventSinkRows(BaseModel):
    """The rows of a list."""

    event_sinks: list[EventSinkOut] = Field(description="the event sinks")


class ManyEventSinks(BaseModel):
    """Event sinks in the envelopes of both editions of the API."""

    data: EventSinkRows = Field(description="the event sinks in the later edition's envelope")
    event_sinks: list[EventSinkOut] = Field(description="the same in the first edition's")
    pagination: NextPage | None = Field(description="where the list goes on; null where no page was asked for")


class Deleted(BaseModel):
    """What was deleted."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it was")


def show_sink(sink: Destination) -> dict[str, Any]:
    """Return an event sink as an answer shows it. This opens no secret."""
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
        "status": find_status(sink),
        **explain_failing(sink)._asdict(),
        **show_clearing(sink),
        **show_options(sink),
        "ordering_lag": count_behind(sink.id)._asdict(),
    }


def show_clearing(sink: Destination) -> dict[str, Any]:
    """Return how much of a skipped backlog is suppressed. Return nothing if none is left.

    `left` counts among the 1,000 deliveries that wait the longest. With `left_capped`, more wait.
    """
    if sink.state == DestinationState.ACTIVE:
        return {}
    clearing = Clearing.objects.running().filter(destination_id=sink.id).first()
    if clearing is None:
        return {}
    left, capped = clearing.left()
    told = {"asked_at": clearing.asked_at, "suppressed": clearing.suppressed}
    return {"clearing": {**told, "left": left, "left_capped": capped}}
