"""Replays over /v1: start, list, get and cancel them. An event sink also has its own verb to start one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions.errors import NotConfigurable, NotKept
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay_job import SHOWN, ReplayPreview, Selection
from eventsinks.api.authentication import get_initiator, get_tenant, has_scope
from eventsinks.api.errors import Conflict, Gone, Invalid
from eventsinks.api.queries import Text
from eventsinks.api.v1.replay_shapes import OneReplay, OneReplayWithOutcome, ReplayAnswer, ReplayPage
from eventsinks.api.v1.shapes import End, Moment
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    V1View,
    answer_page,
    document_answers,
    find_row,
    read_input,
    read_own_paging,
)
from eventsinks.models import Delivery, Destination, Replay
from eventsinks.models.destination import list_types
from eventsinks.models.options import HeardType

MOST_TOLD = 10_000  # replayed deliveries of which it is told what came of them
IntegrationId = Annotated[StrictInt, Field(ge=1, lt=2**63)]  # SQLite takes no larger number


class ReplaySink(BaseModel):
    """Which deliveries: made from `since` to `until` (by default now), with the states and all other filters.

    `dry_run` only counts them, and shows some. `rate_per_s` is the most that are sent in a second.
    """

    model_config = ConfigDict(extra="forbid")  # a filter that is misspelt would replay too much

    since: Moment = Field(description="made then or later")
    until: End | None = Field(None, description="made then or before; now if absent")
    states: Annotated[list[Literal["failed", "delivered"]], Field(min_length=1, max_length=2)] = Field(
        ["failed"], description="in these states"
    )
    status_class: Annotated[StrictInt, Field(ge=0, le=5)] | None = Field(
        None, description="of the last answer: 5 for 500 to 599; 0 where there was none"
    )
    reason: Annotated[Text, Field(min_length=1)] | None = Field(None, description="a part of the reason")
    event_type: HeardType | None = Field(None, description="of this type of events")
    rate_per_s: Annotated[float, Field(strict=True, ge=0.01, le=500)] | None = Field(
        None, description="so many a second at most"
    )
    dry_run: StrictBool = Field(False, description="only count them, and show some")

    def selection(self) -> Selection:
        """Return the filters of the deliveries."""
        more = (self.status_class, self.reason or "", self.event_type or "")
        return Selection(self.since, self.until, self.states, *more)


class ReplayMany(ReplaySink):
    """Which deliveries, of several event sinks and integrations. The default is all event sinks."""

    event_sink_ids: Annotated[list[UUID], Field(min_length=1, max_length=100)] | None = Field(
        None, description="of these event sinks"
    )
    integration_ids: Annotated[list[IntegrationId], Field(min_length=1, max_length=100)] | None = Field(
        None, description="of these integrations"
    )


class ReplayViewSet(V1View, ViewSet):
    """Start, list, get and cancel replays."""

    scope = "event_sink"
    resource = "replay"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(ReplayPage, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List replays, newest first. The list has those that have ended, too."""
        return answer_page("replays", find_replays(request), read_own_paging(request), show_replay)

    @document_answers(ReplayAnswer, request=ReplayMany, errors=[409, 410])
    def create(self, request: Request) -> Response:
        """Replay deliveries of event sinks and integrations. Each gets its own job. All start, or none.

        409: another replay of one of them is running. 410: nothing of that time is kept any more.
        """
        asked = read_input(ReplayMany, request.data)
        return Response(start_or_preview(request, choose_destinations(request, asked), asked))

    @document_answers(OneReplayWithOutcome)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a replay. It has its progress, and the results of the last 10,000 replayed deliveries."""
        found = find_row(find_replays(request), id)
        return Response({"replay": {**show_replay(found), "outcome": found.outcome(MOST_TOLD)}})

    @document_answers(OneReplay, errors=[409])
    def destroy(self, request: Request, id: str) -> Response:
        """Cancel a replay. Deliveries that it has not replayed stay as they are. 409: it has ended."""
        found = find_row(find_replays(request), id)
        if not replay_job.cancel_replay(found, get_initiator(request)):
            raise Conflict("the replay has ended already")
        return Response({"replay": show_replay(find_row(find_replays(request), id))})


def find_replays(request: Request) -> QuerySet[Replay]:
    """Return the replays of the key's tenant. Those of integrations need the scope of integrations."""
    found = Replay.objects.of(get_tenant(request)).select_related("destination", "tenant")
    needed = "event_streaming:read" if request.method in SAFE_METHODS else "event_streaming:write"
    return found if has_scope(request, needed) else found.filter(destination__type__in=list_types("event_sink"))


def choose_destinations(request: Request, asked: ReplayMany) -> Sequence[Destination]:
    """Return the named destinations, by default every event sink. Raises Invalid for an unknown one."""
    present = Destination.objects.of(get_tenant(request)).select_related("tenant")
    if asked.event_sink_ids is None and asked.integration_ids is None:
        return list(present.sinks())
    if asked.integration_ids is not None and not has_scope(request, "event_streaming:write"):
        raise PermissionDenied("the key needs the scope event_streaming:write for integration_ids")
    sinks = {sink.uuid: sink for sink in present.sinks().filter(uuid__in=asked.event_sink_ids or ())}
    integrations = {one.id: one for one in present.integrations().filter(id__in=asked.integration_ids or ())}
    problems = [
        (f"event_sink_ids.{place}", "no such event sink")
        for place, id in enumerate(asked.event_sink_ids or ())
        if id not in sinks
    ] + [
        (f"integration_ids.{place}", "no such integration")
        for place, id in enumerate(asked.integration_ids or ())
        if id not in integrations
    ]
    if problems:
        raise Invalid(problems)
    return [*sinks.values(), *integrations.values()]


def start_or_preview(request: Request, destinations: Sequence[Destination], asked: ReplaySink) -> dict[str, Any]:
    """Start replays, or count their deliveries, and return the answer. Raises Invalid, Gone and Conflict."""
    try:
        if asked.dry_run:
            return {
                "preview": show_preview(
                    [replay_job.preview_replay(one, asked.selection()) for one in destinations]
                )
            }
        made = replay_job.start_replays(destinations, asked.selection(), asked.rate_per_s, get_initiator(request))
    except NotKept as error:
        raise Gone(error.errors[0].message) from None
    except NotConfigurable as error:
        raise Invalid([(problem.field, problem.message) for problem in error.errors]) from None
    except replay_job.ReplayUnderWay as busy:
        message = f"another replay of {busy.destination.name} is under way; DELETE it, or wait for its end"
        raise Conflict(message) from None
    return {"replays": [show_replay(replay) for replay in made]}


def show_preview(previews: Sequence[ReplayPreview]) -> dict[str, Any]:
    """Return the preview of replays together: the number of deliveries, and the newest of them."""
    shown = sorted((one for found in previews for one in found.sample), key=lambda one: one.id, reverse=True)
    return {
        "deliveries": sum(found.deliveries for found in previews),
        "deliveries_capped": any(found.capped for found in previews),
        "sample": [show_sample(delivery) for delivery in shown[:SHOWN]],
    }


def show_sample(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery that would be replayed, with its event."""
    return {
        "id": delivery.id,
        "event_type": delivery.event.type,
        "event_id": delivery.event.key,
        "title": delivery.event.summary.title[:300],
        "destination_name": delivery.destination.name,
        "state": delivery.state,
        "status": delivery.status,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
    }


def show_replay(replay: Replay) -> dict[str, Any]:
    """Return a replay."""
    return {
        "id": replay.id,
        "tenant_id": replay.tenant_id,
        **name_destination(replay.destination),
        "state": replay.state,
        "since": replay.since,
        "until": replay.until,
        "states": replay.states,
        "status_class": replay.status_class,
        "reason": replay.reason or None,
        "event_type": replay.event_type or None,
        "rate_per_s": replay.rate_per_s,
        "deliveries": replay.counted,
        "counting": replay.counted_to is not None,
        "replayed": replay.replayed,
        "asked_by": replay.asked_by,
        "created_at": replay.created_at,
        "ended_at": replay.ended_at,
    }


def name_destination(destination: Destination) -> dict[str, Any]:
    """Return the id of the event sink or the integration of a replay."""
    is_sink = destination.kind.face == "event_sink"
    return {
        "event_sink_id": destination.uuid if is_sink else None,
        "integration_id": None if is_sink else destination.id,
        "event_sink_name": destination.name,
    }
