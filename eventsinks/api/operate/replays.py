"""Replays over /v1: how far each is, and calling it off. They are started at their event sink."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import replay_sink
from eventsinks.actions.errors import NotConfigurable
from eventsinks.api.authentication import initiator_of, tenant_of
from eventsinks.api.errors import Conflict, ErrorResponse, Invalid
from eventsinks.api.operate.shapes import End, Free, Moment
from eventsinks.api.v1 import (
    PAGING,
    TENANT,
    Listing,
    V1View,
    documented,
    find,
    page_of,
    paged,
    read_query,
    require_tenant,
)
from eventsinks.models import Destination, Replay


class ReplaySink(BaseModel):
    """Which deliveries: made from `since` to `until` (now), in these states. `dry_run` only counts them."""

    model_config = ConfigDict(extra="forbid")  # a filter that is misspelt would replay too much

    since: Moment
    until: End | None = None
    states: Annotated[list[Literal["failed", "delivered"]], Field(min_length=1, max_length=2)] = ["failed"]
    dry_run: StrictBool = False


class ReplayViewSet(V1View, ViewSet):
    """List, get and cancel replays."""

    scope = "event_sink"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @documented(Free, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List replays, newest first, those that have ended among them."""
        query = read_query(Listing, request)
        require_tenant(request, query.tenant_id)
        found, token = page_of(replays_of(request), query.page)
        return Response(paged("replays", [replay_out(replay) for replay in found], token))

    @documented(Free)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a replay, with how far it is."""
        return Response({"replay": replay_out(find(replays_of(request), id))})

    @documented(Free, errors={409: ErrorResponse})
    def destroy(self, request: Request, id: str) -> Response:
        """Cancel a replay. What it has replayed stays; the rest is left as it is."""
        found = find(replays_of(request), id)
        if not replay_sink.cancel(found, initiator_of(request)):
            raise Conflict("the replay has ended already")
        return Response({"replay": replay_out(find(replays_of(request), id))})


def replays_of(request: Request) -> QuerySet[Replay]:
    """Return the replays of the key's tenant."""
    return Replay.objects.of(tenant_of(request)).select_related("destination", "tenant")


def started(request: Request, sink: Destination, asked: ReplaySink) -> dict[str, Any]:
    """Start a replay, or count what it would take, and return the answer. Raises Invalid and Conflict."""
    try:
        if asked.dry_run:
            deliveries, capped = replay_sink.preview(sink, asked.since, asked.until, asked.states)
            return {"preview": {"deliveries": deliveries, "deliveries_capped": capped}}
        made = replay_sink.start(sink, asked.since, asked.until, asked.states, initiator_of(request))
    except NotConfigurable as error:
        raise Invalid([(problem.field, problem.message) for problem in error.errors]) from None
    except replay_sink.UnderWay:
        raise Conflict("another replay of this event sink is under way; DELETE it, or wait for its end") from None
    return {"replay": replay_out(made)}


def replay_out(replay: Replay) -> dict[str, Any]:
    """Return a replay."""
    return {
        "id": replay.id,
        "tenant_id": replay.tenant_id,
        "event_sink_id": replay.destination.uuid,
        "event_sink_name": replay.destination.name,
        "state": replay.state,
        "since": replay.since,
        "until": replay.until,
        "states": replay.states,
        "deliveries": replay.counted,
        "counting": replay.counted_to is not None,
        "replayed": replay.replayed,
        "asked_by": replay.asked_by,
        "created_at": replay.created_at,
        "ended_at": replay.ended_at,
    }
