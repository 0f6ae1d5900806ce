"""The shapes of replays in answers of /v1."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, RootModel

from eventsinks.api.v1.shapes import make_one_model, make_page_model
from eventsinks.models.delivery import DeliveryState
from eventsinks.models.replay import ReplayState


class ReplayOut(BaseModel):
    """A job that gives deliveries a fresh set of tries."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it is")
    event_sink_id: UUID | None = Field(description="whose deliveries, where it is an event sink's")
    integration_id: int | None = Field(description="whose deliveries, where it is an integration's")
    event_sink_name: str = Field(description="the name of either")
    state: ReplayState = Field(description="whether it goes on")
    since: datetime = Field(description="deliveries made then or later,")
    until: datetime = Field(description="and then or before")
    states: list[Literal["failed", "delivered"]] = Field(description="in these states")
    status_class: int | None = Field(description="whose last answer was of this class; 0: there was none")
    reason: str | None = Field(description="whose reason holds this")
    event_type: str | None = Field(description="of this type of events")
    rate_per_s: float | None = Field(description="so many a second at most")
    deliveries: int = Field(description="how many it takes, as counted when it was made")
    counting: bool = Field(description="whether it still counts them")
    replayed: int = Field(description="how many have their fresh tries")
    asked_by: str = Field(description="who asked for it")
    created_at: datetime = Field(description="when it was made")
    ended_at: datetime | None = Field(description="when it ended")


class OutcomeOut(BaseModel):
    """The results of the last 10,000 replayed deliveries."""

    delivered: int = Field(description="how many are delivered")
    failed: int = Field(description="how many failed again")
    open: int = Field(description="how many are under way")


class ReplayWithOutcome(ReplayOut):
    """A replay with its results."""

    outcome: OutcomeOut = Field(description="what came of the last 10,000 that it replayed")


class SampleOut(BaseModel):
    """A delivery that would be replayed, with its event."""

    id: UUID = Field(description="the delivery")
    event_type: str = Field(description="the type of the event")
    event_id: str = Field(description="the id of the event")
    title: str = Field(description="what happened")
    destination_name: str = Field(description="where it goes")
    state: DeliveryState = Field(description="what became of it")
    status: int | None = Field(description="the status of the last answer, if one came")
    reason: str = Field(description="why it is so")
    created_at: datetime = Field(description="when it was made")


class ReplayPreviewOut(BaseModel):
    """The deliveries that a replay would take now."""

    deliveries: int = Field(description="how many")
    deliveries_capped: bool = Field(description="whether there are more than were counted")
    sample: list[SampleOut] = Field(description="the newest ten")


class Previewed(BaseModel):
    """The answer to `dry_run`."""

    preview: ReplayPreviewOut = Field(description="what would be replayed")


class StartedReplays(BaseModel):
    """The answer if replays were started."""

    replays: list[ReplayOut] = Field(description="one for each event sink and each integration")


ReplayPage = make_page_model("replays", ReplayOut)
OneReplay = make_one_model("replay", ReplayOut)
OneReplayWithOutcome = make_one_model("replay", ReplayWithOutcome)


class ReplayAnswer(RootModel[StartedReplays | Previewed]):
    """The started replays, or the preview."""


class SinkReplayAnswer(RootModel[OneReplay | Previewed]):  # type: ignore[valid-type]
    """The started replay, or the preview."""
