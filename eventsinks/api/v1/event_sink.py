"""The views of Scanner's event sinks, /v1/event_sink. The actions decide.

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
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.errors import Invalid
from eventsinks.api.v1.event_sink_args import name_on_the_wire, unwrap
from eventsinks.api.v1.event_sink_shapes import (
    CreateEventSink,
    Deleted,
    ManyEventSinks,
    OneEventSink,
    UpdateEventSink,
    show_sink,
)
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    Listing,
    V1View,
    document_answers,
    find_row,
    read_input,
    read_page,
    read_query,
    require_tenant,
)
from eventsinks.limits.quotas import check_room
from eventsinks.models import Destination


class SinkListing(Listing):
    """Which event sinks. Other fields that Scanner's clients send, such as an order, are ignored."""

    model_config = ConfigDict(extra="ignore")


class EventSinkViewSet(V1View, ViewSet):
    """Create, list, get, update and delete event sinks."""

    scope = resource = "event_sink"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(ManyEventSinks, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List event sinks. Without a page: all of the tenant, oldest first. With one: newest first."""
        # The real client follows no pages.
        asked = read_query(SinkListing, request)
        require_tenant(request, asked.tenant_id)
        rows, paging = find_sinks(request), asked.page
        if paging.page_size is None and paging.page_token is None:
            found, pagination = list(rows.order_by("id")), None
        else:
            found, token = read_page(rows, paging)
            pagination = {"next_page_token": token}
        sinks = [show_sink(sink) for sink in found]
        return Response({"data": {"event_sinks": sinks}, "event_sinks": sinks, "pagination": pagination})

    @document_answers(OneEventSink, request=CreateEventSink, errors=[404])
    def create(self, request: Request) -> Response:
        """Create an event sink."""
        asked = read_input(CreateEventSink, request.data)
        require_tenant(request, asked.tenant_id)
        name, kind, config = unwrap(asked.event_sink_args)
        try:
            if name == "Slack" and "slack_oauth_code" in config:
                config = add_workspace(request, config)
            sink = configure.create(
                get_tenant(request),
                kind.key,
                config,
                name=asked.name,
                description=asked.description,
                enabled=asked.enabled,
                options=asked,
                initiator=get_initiator(request),
            )
        except configure.NotConfigurable as error:
            raise locate_error(name, error) from None
        return Response({"event_sink": show_sink(sink)})

    @document_answers(OneEventSink)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get an event sink."""
        return Response({"event_sink": show_sink(find_row(find_sinks(request), id, "uuid"))})

    @document_answers(OneEventSink, request=UpdateEventSink)
    def update(self, request: Request, id: str) -> Response:
        """Update an event sink. Absent fields stay."""
        sink = find_row(find_sinks(request), id, "uuid")
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
                initiator=get_initiator(request),
            )
        except configure.NotConfigurable as error:
            raise locate_error(name, error) from None
        except Destination.DoesNotExist:  # deleted since it was found
            raise Http404("no such destination") from None
        return Response({"event_sink": show_sink(changed)})

    @document_answers(Deleted)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete an event sink. Its open deliveries are suppressed. Its history stays."""
        sink = find_row(find_sinks(request), id, "uuid")
        configure.delete(sink, get_initiator(request))
        return Response({"id": sink.uuid, "tenant_id": sink.tenant_id})


def find_sinks(request: Request) -> Any:
    """Return the event sinks of the key's tenant."""
    return Destination.objects.of(get_tenant(request)).sinks().select_related("fallback")


def add_workspace(request: Request, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return Slack's config with the workspace of its single-use code, which is exchanged after all checks.

    Raises NotConfigurable and LimitReached.
    """
    check_room(get_tenant(request), "event_sinks")
    rest = {key: value for key, value in config.items() if key != "slack_oauth_code"}
    check_config("slack", {**rest, "slack_integration_id": str(UUID(int=0))})
    try:
        workspace = install.install(get_tenant(request), config["slack_oauth_code"], get_initiator(request))
    except install.NotInstallable as error:
        raise configure.NotConfigurable(configure.FieldError("slack_oauth_code", str(error))) from None
    return {**rest, "slack_integration_id": str(workspace.pk)}


def locate_error(name: str, error: configure.NotConfigurable) -> Invalid:
    """Return an error of the config as an error of the request, with the path in the request."""
    prefix = f"event_sink_args.{name}." if name else ""
    fields = [
        (problem.field if problem.option else prefix + name_on_the_wire(name, problem.field), problem.message)
        for problem in error.errors
    ]
    return Invalid([(field.rstrip("."), message) for field, message in fields])
