"""The views of NetBird's event-streaming integrations. The actions decide.

https://docs.netbird.io/api/resources/event-streaming. The spec requires more fields of a PUT
than its clients send. Here, the fields that they send are enough.
"""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import configure
from eventsinks.actions.trying.probe import make_changed_type, make_new_type, probe_connection
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.netbird.errors import InvalidArgument, PreconditionFailed
from eventsinks.api.netbird.shapes import (
    CreateIntegration,
    IntegrationOut,
    ManyIntegrations,
    Nothing,
    UpdateIntegration,
    find_integration,
    find_integrations,
    find_start,
    locate_in_config,
    make_not_found,
    read_changes,
    read_options,
    show_integration,
)
from eventsinks.api.netbird.verbs import IntegrationVerbs
from eventsinks.api.netbird.view import NetBirdView, document_answers, read_body
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import AnyDestinationType, SendFailure
from eventsinks.lib.secrets.signing import make_secret
from eventsinks.limits.quotas import check_room
from eventsinks.models import Destination, Tenant
from eventsinks.models.destination import list_types


class IntegrationViewSet(IntegrationVerbs, NetBirdView, ViewSet):
    """Create, list, get, update and delete integrations."""

    scope = "event_streaming"
    resource = "integration"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(ManyIntegrations)
    def list(self, request: Request) -> Response:
        """List integrations. All of the account, oldest first."""
        return Response([show_integration(found) for found in find_integrations(request).order_by("id")])

    @document_answers(IntegrationOut, request=CreateIntegration, errors=[412])
    def create(self, request: Request) -> Response:
        """Create an integration. If it is enabled, the far end must first accept a test message."""
        asked = read_body(CreateIntegration, request)
        if asked.platform not in list_types("integration"):
            raise InvalidArgument([("platform", f"must be one of {', '.join(list_types('integration'))}")])
        tenant, secret = get_tenant(request), make_secret()
        try:
            kind = make_new_type(asked.platform, asked.config, secret)
            check_room(tenant, "integrations")
            if asked.enabled:
                connect_to_service(tenant, kind, asked.mapping)
            made = configure.create(
                tenant,
                asked.platform,
                asked.config,
                name=destination_type(asked.platform).label,
                enabled=asked.enabled,
                start=find_start(tenant, asked.start),
                mapping=asked.mapping,
                options=read_options(asked),
                signing_secret=secret,
                initiator=get_initiator(request),
            )
        except configure.NotConfigurable as error:
            raise locate_in_config(error) from None
        return Response(show_integration(made))

    @document_answers(IntegrationOut)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get an integration."""
        return Response(show_integration(find_integration(request, id)))

    @document_answers(IntegrationOut, request=UpdateIntegration, errors=[412])
    def update(self, request: Request, id: str) -> Response:
        """Update an integration. Absent fields stay. If it is enabled, the far end must accept a test message."""
        integration = find_integration(request, id)
        asked = read_body(UpdateIntegration, request)
        if not asked.model_dump(exclude_none=True):
            return Response(show_integration(integration))
        on = integration.enabled if asked.enabled is None else asked.enabled
        config = read_changes(integration, asked.config)
        try:
            if on and (config is not None or not integration.enabled):
                after = make_changed_type(integration, config or {})
                connect_to_service(integration.tenant, after, asked.mapping or integration.mapping)
            changed = configure.change(
                integration,
                config,
                enabled=asked.enabled,
                mapping=asked.mapping,
                options=read_options(asked),
                initiator=get_initiator(request),
            )
        except configure.NotConfigurable as error:
            raise locate_in_config(error) from None
        except Destination.DoesNotExist:  # deleted since it was found
            raise make_not_found(id) from None
        return Response(show_integration(changed))

    @document_answers(Nothing, request=None)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete an integration. Its history stays."""
        configure.delete(find_integration(request, id), initiator=get_initiator(request))
        return Response({})


@extend_schema(exclude=True)
class AliasedIntegrationViewSet(IntegrationViewSet):
    """The integrations under the path that NetBird's dashboard uses."""


def connect_to_service(tenant: Tenant, kind: AnyDestinationType, mapping: str | None) -> None:
    """Send a test message. Raises PreconditionFailed with the answer of the far end, and LimitReached."""
    try:
        probe_connection(tenant, kind, mapping)
    except SendFailure as failure:
        raise PreconditionFailed(f"the test message was not taken: {failure.reason}") from None
