"""The verbs on event sinks that are ours: pause, resume, and the signing secret."""

from __future__ import annotations

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions import configure
from eventsinks.api.authentication import initiator_of
from eventsinks.api.operate.shapes import Free
from eventsinks.api.scanner import EventSinkViewSet, OneEventSink, sink_out, sinks_of
from eventsinks.api.v1 import documented, find


class OperatedEventSinkViewSet(EventSinkViewSet):
    """Scanner's event sinks, and the verbs that are ours."""

    needs_write = frozenset({"signing_secret"})  # it reads, but what it shows signs requests

    @documented(OneEventSink, request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Send nothing for now; what comes is kept."""
        sink = find(sinks_of(request), id, "uuid")
        return Response({"event_sink": sink_out(configure.pause(sink, initiator=initiator_of(request)))})

    @documented(OneEventSink, request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Send again, beginning with what was kept; a parked event sink gets another chance."""
        sink = find(sinks_of(request), id, "uuid")
        return Response({"event_sink": sink_out(configure.resume(sink, initiator_of(request)))})

    @documented(Free)
    @action(detail=True, methods=["get"])
    def signing_secret(self, request: Request, id: str) -> Response:
        """Show the secret that requests are signed with. Needs the scope event_sink:write."""
        return Response({"signing_secret": find(sinks_of(request), id, "uuid").signing_secret})
