"""Our own verbs on integrations: test, pause, resume, replay, position."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions import configure
from eventsinks.actions.errors import NotKept
from eventsinks.actions.replaying.replay_stream import StreamReplayUnderWay, replay_stream, stop_replay
from eventsinks.actions.secrets.rotate_secret import reveal_secret, rotate_secret
from eventsinks.actions.trying.probe import probe_destination
from eventsinks.api.authentication import get_initiator
from eventsinks.api.errors import Conflict, Gone
from eventsinks.api.netbird.shapes import IntegrationOut, find_integration, locate_in_config, show_integration
from eventsinks.api.netbird.view import document_answers, read_body, read_input
from eventsinks.api.signing import RotateSecret, SigningSecret
from eventsinks.lib.moments import read_end, read_time
from eventsinks.models import Destination
from eventsinks.models.destination import DestinationState
from eventsinks.streaming.progress import measure_progress


def read_moment(given: Any, read: Callable[[str], datetime] = read_time) -> datetime:
    """Return the time of a text. Raises ValueError."""
    try:
        return read(given)
    except (ValueError, TypeError, AttributeError):
        raise ValueError("must be an RFC 3339 time, as 2026-01-31T12:00:00Z") from None


def read_end_moment(given: Any) -> datetime:
    """Return the end of a period. For a day, it is the last moment. Raises ValueError."""
    return read_moment(given, read_end)


Moment = Annotated[datetime, BeforeValidator(read_moment)]
End = Annotated[datetime, BeforeValidator(read_end_moment)]


class ReplayIntegration(BaseModel):
    """Which events are sent again: those received from `since` to `until`, by default up to the position."""

    since: Moment = Field(description="what was received then or later")
    until: End | None = Field(None, description="and then or before; to where the stream stands if absent")

    @model_validator(mode="after")
    def check_period(self) -> Self:
        """Refuse a period that ends before it begins."""
        if self.until and self.until < self.since:
            raise ValueError("until must not be before since")
        return self


class Tried(BaseModel):
    """The result of the test event. `status` and `answer` are those of the far end, if it answered."""

    taken: bool = Field(description="whether the far end took it")
    reason: str = Field(description="why not")
    status: int | None = Field(description="the status of its answer, if one came")
    answer: str = Field(description="the beginning of its answer")
    duration_ms: float = Field(description="how long it took")


class StreamReplayOut(BaseModel):
    """How far a replay is."""

    event_id: int = Field(description="the id of the event that it has come to")
    until_event_id: int = Field(description="the id of its last event")


class PositionOut(BaseModel):
    """How far an integration has come in the event log of the account."""

    event_id: int | None = Field(description="the id of the newest event that is accounted for")
    received_at: datetime | None = Field(description="when this one was received")
    backlog: int = Field(description="how many events wait, of the next 100,000 of the log")
    backlog_capped: bool = Field(description="whether there are more")
    state: DestinationState = Field(description="whether it sends, and what else it does")
    reason: str = Field(description="why what is under way is not taken")
    tries: int = Field(description="how often what is under way was tried")
    next_try_at: datetime | None = Field(description="when it is tried next")
    sent_events: int = Field(description="how many events were sent")
    sent_at: datetime | None = Field(description="when the last was")
    replay: StreamReplayOut | None = Field(description="the replay that is under way")
    stands_since: datetime | None = Field(description="since when nothing is taken; null while it goes on")
    set_aside: int = Field(description="how many events were given up, and can be replayed")
    tried_apart: int = Field(description="how many were refused among others, and are tried on their own")


class IntegrationVerbs:
    """The verbs of one integration, each a path under its own."""

    needs_write = frozenset({"signing_secret"})  # it reads, but what it shows signs requests
    without_body = frozenset({"integration_rotate_secret"})

    @document_answers(Tried, request=None, errors=[422])
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Test an integration. This sends the test event now, and answers with the result. No counter changes."""
        try:
            return Response(
                Tried(**probe_destination(find_integration(request, id), get_initiator(request))).model_dump()
            )
        except configure.NotConfigurable as error:
            raise locate_in_config(error) from None

    @document_answers(SigningSecret, errors=[409])
    @action(detail=True, methods=["get"])
    def signing_secret(self, request: Request, id: str) -> Response:
        """Show the signing secret. It signs the requests of the integration. 409: its platform signs none."""
        return Response({"signing_secret": reveal_secret(find_signing(request, id), get_initiator(request))})

    @document_answers(SigningSecret, request=RotateSecret, errors=[409])
    @action(detail=True, methods=["post"])
    def rotate_secret(self, request: Request, id: str) -> Response:
        """Make a new signing secret. The answer shows it. The old one signs beside it for `overlap_s` seconds.

        409: its platform signs no requests, or somebody changed the integration at the same time.
        """
        integration, asked = find_signing(request, id), read_input(RotateSecret, request.data or {})
        secret = rotate_secret(integration, asked.overlap_s, get_initiator(request))
        if secret is None:
            raise Conflict("was changed by somebody else at the same time; try again")
        return Response({"signing_secret": secret})

    @document_answers(IntegrationOut, request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Pause an integration. New events wait."""
        return Response(
            show_integration(configure.pause(find_integration(request, id), initiator=get_initiator(request)))
        )

    @document_answers(IntegrationOut, request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Resume an integration. It goes on where it stopped, even if the service stopped it."""
        return Response(
            show_integration(configure.resume(find_integration(request, id), initiator=get_initiator(request)))
        )

    @document_answers(PositionOut, request=ReplayIntegration, errors=[409, 410])
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:
        """Replay what an integration sent. The position stays. Replayed and new events take turns.

        What was expunged is not sent. 409: another replay is running. 410: nothing of that time is kept any more.
        """
        integration, asked = find_integration(request, id), read_body(ReplayIntegration, request)
        try:
            replay_stream(integration, asked.since, asked.until, get_initiator(request))
        except NotKept as error:
            raise Gone(error.errors[0].message) from None
        except StreamReplayUnderWay:
            raise Conflict("another replay is under way; DELETE it, or wait for its end") from None
        return Response(show_position(integration))

    @document_answers(PositionOut, request=None)
    @replay.mapping.delete
    def stop_replay(self, request: Request, id: str) -> Response:
        """Cancel the replay of an integration. Nothing happens if there is none."""
        integration = find_integration(request, id)
        stop_replay(integration, get_initiator(request))
        return Response(show_position(integration))

    @document_answers(PositionOut)
    @action(detail=True, methods=["get"])
    def position(self, request: Request, id: str) -> Response:
        """Get the position of an integration. It says what was sent, how much waits, and why."""
        return Response(show_position(find_integration(request, id)))


def find_signing(request: Request, id: str) -> Destination:
    """Return the integration with this id. Raises Conflict if its requests are not signed."""
    integration = find_integration(request, id)
    if not integration.kind.signs:
        raise Conflict(f"requests to {integration.type} are not signed")
    return integration


def show_position(integration: Destination) -> dict[str, Any]:
    """Return the position of an integration as an answer shows it."""
    found = measure_progress(integration)
    return {
        "event_id": found.event_id,
        "received_at": found.received_at,
        "backlog": found.backlog,
        "backlog_capped": found.backlog_capped,
        "state": integration.state,
        "reason": found.reason,
        "tries": found.tries,
        "next_try_at": found.next_try_at,
        "sent_events": found.sent_events,
        "sent_at": found.sent_at,
        "replay": dict(zip(StreamReplayOut.model_fields, found.replay, strict=True)) if found.replay else None,
        "stands_since": found.stands_since,
        "set_aside": found.set_aside,
        "tried_apart": found.tried_apart,
    }
