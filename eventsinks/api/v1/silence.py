"""Silences over /v1. A silence holds alerts back for a time, and has a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from pydantic import BaseModel, Field, StrictInt, StringConstraints
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import silence as silences
from eventsinks.actions.errors import NotConfigurable
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.errors import Invalid
from eventsinks.api.v1.event_sink_shapes import Deleted
from eventsinks.api.v1.shapes import End, Moment, make_one_model, make_page_model
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
from eventsinks.models import Destination, Silence

Reason = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
FilterText = Annotated[str, StringConstraints(max_length=4_000)]


class CreateSilence(BaseModel):
    """A new silence. Without `event_sink_id` it covers every event sink, and without `filter` every alert."""

    event_sink_id: str | None = Field(
        None, json_schema_extra={"format": "uuid"}, description="at this event sink only"
    )
    filter: FilterText = Field("", description="CEL over the alert; every alert if empty")
    reason: Reason = Field(description="why")
    author: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(description="who wants it")
    starts_at: Moment | None = Field(None, description="from then on; now if absent")
    ends_at: End = Field(description="until then")


class PreviewSilence(BaseModel):
    """Which alerts of the last hours a filter matches."""

    filter: FilterText = Field("", description="CEL over the alert; every alert if empty")
    hours: Annotated[StrictInt, Field(ge=1, le=24 * 30)] = Field(24, description="how far back to look")


class SilenceOut(BaseModel):
    """A silence."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it is")
    event_sink_id: UUID | None = Field(description="at which event sink; null: at every one")
    filter: str = Field(description="which alerts; empty: every one")
    author: str = Field(description="who wants it")
    reason: str = Field(description="why")
    starts_at: datetime = Field(description="from when on")
    ends_at: datetime = Field(description="until when")
    created_at: datetime = Field(description="when it was made")
    held: int = Field(description="how many alerts it has held back, counted once per event sink")


class MatchOut(BaseModel):
    """An alert that a filter matches."""

    id: str = Field(description="its id")
    name: str = Field(description="what happened")
    received_at: datetime = Field(description="when it was accepted")


class SilencePreviewOut(BaseModel):
    """Which of the newest alerts a filter matches."""

    looked_at: int = Field(description="how many alerts were looked at")
    matching: int = Field(description="how many of these match")
    examples: list[MatchOut] = Field(description="some that match")


class PreviewedSilence(BaseModel):
    """The alerts that a silence would hold back."""

    preview: SilencePreviewOut = Field(description="what matches")


SilencePage = make_page_model("silences", SilenceOut)
OneSilence = make_one_model("silence", SilenceOut)


class SilenceViewSet(V1View, ViewSet):
    """Create, list, get and end silences."""

    scope = "event_sink"
    resource = "silence"
    without_body = frozenset({"silence_preview"})
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(SilencePage, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List silences. The list has those that have ended, too."""
        return answer_page("silences", find_silences(request), read_own_paging(request), show_silence)

    @document_answers(OneSilence, request=CreateSilence, errors=[404])
    def create(self, request: Request) -> Response:
        """Create a silence. It holds alerts back from now or from a given moment."""
        asked = read_input(CreateSilence, request.data)
        sink = None
        if asked.event_sink_id is not None:
            sink = find_row(Destination.objects.of(get_tenant(request)).sinks(), asked.event_sink_id, "uuid")
        try:
            made = silences.make_silence(
                get_tenant(request),
                sink=sink,
                filter=asked.filter,
                reason=asked.reason,
                author=asked.author,
                starts_at=asked.starts_at,
                ends_at=asked.ends_at,
                initiator=get_initiator(request),
            )
        except NotConfigurable as error:
            raise make_invalid(error) from None
        return Response({"silence": show_silence(made)})

    @document_answers(OneSilence)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a silence. It says how many alerts it has held back."""
        return Response({"silence": show_silence(find_row(find_silences(request), id))})

    @document_answers(Deleted)
    def destroy(self, request: Request, id: str) -> Response:
        """End a silence now. It stays in the list. A digest says what it held back."""
        found = find_row(find_silences(request), id)
        if not silences.end_silence(found, get_initiator(request)):
            raise Http404("the silence has ended already")
        return Response({"id": found.id, "tenant_id": found.tenant_id})

    @document_answers(PreviewedSilence, request=PreviewSilence)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Preview a silence. The answer has the newest alerts that the filter matches. Nothing is stored."""
        asked = read_input(PreviewSilence, request.data)
        try:
            seen = silences.preview_silence(get_tenant(request), asked.filter, asked.hours)
        except NotConfigurable as error:
            raise make_invalid(error) from None
        examples = [
            {"id": event.key, "name": event.summary.title, "received_at": event.received_at}
            for event in seen.examples
        ]
        return Response(
            {"preview": {"looked_at": seen.looked_at, "matching": seen.matching, "examples": examples}}
        )


def find_silences(request: Request) -> QuerySet[Silence]:
    """Return the silences of the key's tenant."""
    return Silence.objects.of(get_tenant(request)).select_related("destination")


def make_invalid(error: NotConfigurable) -> Invalid:
    """Return an error of a silence as an error of the request."""
    return Invalid([(problem.field, problem.message) for problem in error.errors])


def show_silence(silence: Silence) -> dict[str, datetime | Any]:
    """Return a silence."""
    return {
        "id": silence.id,
        "tenant_id": silence.tenant_id,
        "event_sink_id": silence.destination.uuid if silence.destination else None,
        "filter": silence.filter,
        "author": silence.author,
        "reason": silence.reason,
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "created_at": silence.created_at,
        "held": silences.count_held(silence),
    }
