"""Our own verbs on event sinks: test, pause, resume, replay, and the signing secret."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions import configure
from eventsinks.actions.secrets.rotate_secret import reveal_secret, rotate_secret
from eventsinks.actions.trying.try_out import TryOut, try_out
from eventsinks.api.authentication import get_initiator
from eventsinks.api.errors import Conflict, Invalid
from eventsinks.api.queries import Text
from eventsinks.api.signing import RotateSecret, SigningSecret
from eventsinks.api.v1.detection_alert import find_alerts
from eventsinks.api.v1.event_sink import EventSinkViewSet, find_sinks
from eventsinks.api.v1.event_sink_shapes import OneEventSink, show_sink
from eventsinks.api.v1.replay import ReplaySink, start_or_preview
from eventsinks.api.v1.replay_shapes import SinkReplayAnswer
from eventsinks.api.v1.shapes import Moment, TimingsOut, show_timings
from eventsinks.api.v1.view import document_answers, find_row, read_input
from eventsinks.lib.net.addresses import show_peer
from eventsinks.models.attempt import Outcome


class Since(BaseModel):
    """The part of the backlog since a moment."""

    model_config = ConfigDict(extra="forbid")

    since: Moment = Field(description="from when on")


class ResumeSink(BaseModel):
    """What to do with the backlog: send all, nothing, or what came since a moment. The rest is suppressed."""

    backlog: Literal["all", "skip"] | Since = Field("all", description="what of it is sent")


class TestSink(BaseModel):
    """Which alert to send. By default it is a sample."""

    detection_alert_id: Text | None = Field(None, description="an alert that was accepted; a sample if absent")


class TriedRequest(BaseModel):
    """What was sent, without its secrets."""

    method: str = Field(description="the method")
    host: str = Field(description="to which host")
    body: str = Field(description="the body")


class TryOutOut(BaseModel):
    """A test as an attempt, with its evidence."""

    started_at: datetime = Field(description="when it began")
    outcome: Outcome = Field(description="what came of it")
    reason: str = Field(description="why it came so")
    request: TriedRequest = Field(description="what was sent; empty where it came to nothing")
    status: int | None = Field(description="the status of the answer, if one came")
    excerpt: str = Field(description="the beginning of the answer")
    peer: str = Field(description="the address that was dialled, if it is the internet's")
    timings_ms: TimingsOut = Field(description="how long each step took")


class TestedSink(BaseModel):
    """The result of a test."""

    attempt: TryOutOut = Field(description="the whole try")


class OperatedEventSinkViewSet(EventSinkViewSet):
    """Scanner's event sinks, with our own verbs."""

    needs_write = frozenset({"signing_secret"})  # it reads, but what it shows signs requests
    without_body = frozenset({"event_sink_resume", "event_sink_test", "event_sink_rotate_secret"})

    @document_answers(OneEventSink, request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Pause an event sink. It sends nothing for now. New deliveries wait."""
        sink = find_row(find_sinks(request), id, "uuid")
        return Response({"event_sink": show_sink(configure.pause(sink, initiator=get_initiator(request)))})

    @document_answers(OneEventSink, request=ResumeSink)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Resume an event sink.

        The whole backlog is sent, unless `backlog` says otherwise. A disabled event sink becomes active, too.
        """
        sink = find_row(find_sinks(request), id, "uuid")
        backlog = read_input(ResumeSink, request.data or {}).backlog
        since = backlog.since if isinstance(backlog, Since) else None
        resumed = configure.resume(sink, get_initiator(request), since, skip=backlog == "skip")
        return Response({"event_sink": show_sink(resumed)})

    @document_answers(SinkReplayAnswer, request=ReplaySink, errors=[409])
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:
        """Replay deliveries of an event sink. A job gives the matching ones a fresh set of tries.

        409: another replay of this event sink is running.
        """
        sink = find_row(find_sinks(request), id, "uuid")
        answer = start_or_preview(request, [sink], read_input(ReplaySink, request.data or {}))
        return Response({"replay": answer["replays"][0]} if "replays" in answer else answer)

    @document_answers(TestedSink, request=TestSink)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Test an event sink. This sends a sample or an accepted alert now. No counter changes."""
        sink = find_row(find_sinks(request), id, "uuid")
        asked = read_input(TestSink, request.data or {})
        alert = None
        if asked.detection_alert_id is not None:
            alert = find_alerts(request).filter(key=asked.detection_alert_id).first()
            if alert is None:
                raise Invalid([("detection_alert_id", "no such detection alert")])
        return Response({"attempt": show_try_out(try_out(sink, alert, get_initiator(request)))})

    @document_answers(SigningSecret, request=RotateSecret, errors=[409])
    @action(detail=True, methods=["post"])
    def rotate_secret(self, request: Request, id: str) -> Response:
        """Make a new signing secret. The answer shows it. The old one signs beside it for `overlap_s` seconds."""
        sink = find_row(find_sinks(request), id, "uuid")
        asked = read_input(RotateSecret, request.data or {})
        secret = rotate_secret(sink, asked.overlap_s, get_initiator(request))
        if secret is None:
            raise Conflict("was changed by somebody else at the same time; try again")
        return Response({"signing_secret": secret})

    @document_answers(SigningSecret)
    @action(detail=True, methods=["get"])
    def signing_secret(self, request: Request, id: str) -> Response:
        """Show the signing secret. It signs the requests to the event sink."""
        sink = find_row(find_sinks(request), id, "uuid")
        return Response({"signing_secret": reveal_secret(sink, get_initiator(request))})


def show_try_out(tried: TryOut) -> dict[str, Any]:
    """Return a test as an attempt. Times are milliseconds from its start."""
    return {
        "started_at": tried.started_at,
        "outcome": tried.outcome,
        "reason": tried.reason,
        "request": {"method": tried.method, "host": tried.host, "body": tried.body},
        "status": tried.status,
        "excerpt": tried.excerpt,
        "peer": show_peer(tried.peer),
        "timings_ms": show_timings(tried.timings),
    }
