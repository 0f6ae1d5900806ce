"""Scanner's event sinks, /v1/event_sink: the views. Nothing is decided here.

The published pages and `scanner-client` 0.1.1 disagree in places; both are served (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import Http404
from pydantic import ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import configure
from eventsinks.actions.config import check_config as check_config
from eventsinks.actions.slack import install
from eventsinks.api.authentication import initiator_of, tenant_of
from eventsinks.api.errors import Invalid
from eventsinks.api.v1.event_sink_args import on_the_wire, unwrap
from eventsinks.api.v1.event_sink_shapes import (
    CreateEventSink,
    Deleted,
    ManyEventSinks,
    OneEventSink,
    UpdateEventSink,
    sink_out,
)
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    Listing,
    V1View,
    documented,
    find,
    page_of,
    read_input,
    read_query,
    require_tenant,
)
from eventsinks.limits.quotas import check_room
from eventsinks.models import Destination


class SinkListing(Listing):
    """Which event sinks. What Scanner's clients ask beside, such as an order, is passed over."""

    model_config = ConfigDict(extra="ignore")


class EventSinkViewSet(V1View, ViewSet):
    """Create, list, get, update and delete event sinks."""

    scope = "event_sink"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @documented(ManyEventSinks, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List the event sinks of the tenant: all, oldest first, or a page, newest first, if one is asked for.

        The real client follows no pages.
        """
        asked = read_query(SinkListing, request)
        require_tenant(request, asked.tenant_id)
        rows, paging = sinks_of(request), asked.page
        if paging.page_size is None and paging.page_token is None:
            found, pagination = list(rows.order_by("id")), None
        else:
            found, token = page_of(rows, paging)
            pagination = {"next_page_token": token}
        sinks = [sink_out(sink) for sink in found]
        return Response({"data": {"event_sinks": sinks}, "event_sinks": sinks, "pagination": pagination})

    @documented(OneEventSink, request=CreateEventSink)
    def create(self, request: Request) -> Response:
        """Create an event sink."""
        asked = read_input(CreateEventSink, request.data)
        require_tenant(request, asked.tenant_id)
        name, kind, config = unwrap(asked.event_sink_args)
        try:
            if name == "Slack" and "slack_oauth_code" in config:
                config = with_workspace(request, config)
            sink = configure.create(
                tenant_of(request),
                kind.key,
                config,
                name=asked.name,
                description=asked.description,
                enabled=asked.enabled,
                options=asked,
                initiator=initiator_of(request),
            )
        except configure.NotConfigurable as error:
            raise at_field(name, error) from None
        return Response({"event_sink": sink_out(sink)})

    @documented(OneEventSink)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get an event sink."""
        return Response({"event_sink": sink_out(find(sinks_of(request), id, "uuid"))})

    @documented(OneEventSink, request=UpdateEventSink)
    def update(self, request: Request, id: str) -> Response:
        """Update an event sink: what is given changes, the rest stays."""
        sink = find(sinks_of(request), id, "uuid")
        asked = read_input(UpdateEventSink, request.data)
        if asked.id not in (None, str(sink.uuid)):
            raise Invalid([("id", "is not the id in the path")])
        name, config = "", None
        if asked.event_sink_args is not None:
            name, _, config = unwrap(asked.event_sink_args, sink)
        try:
            changed = configure.change(
                sink,
                config,
                name=asked.name,
                description=asked.description,
                enabled=asked.enabled,
                options=asked,
                initiator=initiator_of(request),
            )
        except configure.NotConfigurable as error:
            raise at_field(name, error) from None
        except Destination.DoesNotExist:  # deleted since it was found
            raise Http404("no such destination") from None
        return Response({"event_sink": sink_out(changed)})

    @documented(Deleted)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete an event sink; what it was still owed is suppressed, its history stays."""
        sink = find(sinks_of(request), id, "uuid")
        configure.delete(sink, initiator_of(request))
        return Response({"id": sink.uuid, "tenant_id": sink.tenant_id})


def sinks_of(request: Request) -> Any:
    """Return the event sinks of the key's tenant."""
    return Destination.objects.of(tenant_of(request)).sinks().select_related("fallback")


def with_workspace(request: Request, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return Slack's config with the workspace that its single-use code brings: exchanged when all else is good.

    Raises NotConfigurable and LimitReached.
    """
    check_room(tenant_of(request), "event_sinks")
    rest = {key: value for key, value in config.items() if key != "slack_oauth_code"}
    check_config("slack", {**rest, "slack_integration_id": str(UUID(int=0))})
    try:
        workspace = install.install(tenant_of(request), config["slack_oauth_code"], initiator_of(request))
    except install.NotInstallable as error:
        raise configure.NotConfigurable(configure.FieldError("slack_oauth_code", str(error))) from None
    return {**rest, "slack_integration_id": str(workspace.pk)}


def at_field(name: str, error: configure.NotConfigurable) -> Invalid:
    """Return an error of the config as one of the request, with the path in the request."""
    prefix = f"event_sink_args.{name}." if name else ""
    fields = [
        (problem.field if problem.option else prefix + on_the_wire(name, problem.field), problem.message)
        for problem in error.errors
    ]
    return Invalid([(field.rstrip("."), message) for field, message in fields])
