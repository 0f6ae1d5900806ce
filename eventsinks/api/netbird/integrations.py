"""NetBird's event-streaming integrations: what comes in, what goes out. Nothing is decided here.

https://docs.netbird.io/api/resources/event-streaming. The spec asks for more on a PUT than its clients send; what
they send is enough.
"""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import configure
from eventsinks.actions.trying.probe import make_changed_type, make_new_type, probe_connection
from eventsinks.api.authentication import initiator_of, tenant_of
from eventsinks.api.netbird.errors import ErrorBody, InvalidArgument, PreconditionFailed
from eventsinks.api.netbird.shapes import (
    CreateIntegration,
    IntegrationOut,
    ManyIntegrations,
    Nothing,
    UpdateIntegration,
    changes_of,
    find,
    in_config,
    integration_out,
    integrations_of,
    missing,
    options_of,
    place_of,
)
from eventsinks.api.netbird.verbs import IntegrationVerbs
from eventsinks.api.netbird.view import NetBirdView, documented, read_body
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import AnyDestinationType, SendFailure
from eventsinks.lib.secrets.signing import make_secret
from eventsinks.limits.quotas import check_room
from eventsinks.models import Destination, Tenant
from eventsinks.models.destination import list_types

UNTESTED = {412: OpenApiResponse(ErrorBody, "the far end did not take the test message; nothing was kept")}


class IntegrationViewSet(IntegrationVerbs, NetBirdView, ViewSet):
    """Create, list, get, update and delete integrations."""

    scope = "event_streaming"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @documented(ManyIntegrations)
    def list(self, request: Request) -> Response:
        """List the integrations of the account."""
        return Response([integration_out(found) for found in integrations_of(request).order_by("id")])

    @documented(IntegrationOut, request=CreateIntegration, errors=UNTESTED)
    def create(self, request: Request) -> Response:
        """Create an integration, once the far end has taken a test message."""
        asked = read_body(CreateIntegration, request)
        if asked.platform not in list_types("integration"):
            raise InvalidArgument([("platform", f"must be one of {', '.join(list_types('integration'))}")])
        tenant, secret = tenant_of(request), make_secret()
        try:
            kind = make_new_type(asked.platform, asked.config, secret)
            check_room(tenant, "integrations")
            if asked.enabled:
                connect(tenant, kind, asked.mapping)
            made = configure.create(
                tenant,
                asked.platform,
                asked.config,
                name=destination_type(asked.platform).label,
                enabled=asked.enabled,
                start=place_of(tenant, asked.start),
                mapping=asked.mapping,
                options=options_of(asked),
                signing_secret=secret,
                initiator=initiator_of(request),
            )
        except configure.NotConfigurable as error:
            raise in_config(error) from None
        return Response(integration_out(made))

    @documented(IntegrationOut)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get an integration."""
        return Response(integration_out(find(request, id)))

    @documented(IntegrationOut, request=UpdateIntegration, errors=UNTESTED)
    def update(self, request: Request, id: str) -> Response:
        """Update an integration: what is given changes, the rest stays. One that is on is tried first."""
        integration = find(request, id)
        asked = read_body(UpdateIntegration, request)
        if not asked.model_dump(exclude_none=True):
            return Response(integration_out(integration))
        on = integration.enabled if asked.enabled is None else asked.enabled
        config = changes_of(integration, asked.config)
        try:
            if on and (config is not None or not integration.enabled):
                after = make_changed_type(integration, config or {})
                connect(integration.tenant, after, asked.mapping or integration.mapping)
            changed = configure.change(
                integration,
                config,
                enabled=asked.enabled,
                mapping=asked.mapping,
                options=options_of(asked),
                initiator=initiator_of(request),
            )
        except configure.NotConfigurable as error:
            raise in_config(error) from None
        except Destination.DoesNotExist:  # deleted since it was found
            raise missing(id) from None
        return Response(integration_out(changed))

    @documented(Nothing, request=None)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete an integration; its history stays."""
        configure.delete(find(request, id), initiator=initiator_of(request))
        return Response({})


@extend_schema(exclude=True)
class AliasedIntegrationViewSet(IntegrationViewSet):
    """The same under the path that NetBird's dashboard uses."""


def connect(tenant: Tenant, kind: AnyDestinationType, mapping: str | None) -> None:
    """Try the connection. Raises PreconditionFailed with what the far end says, and LimitReached."""
    try:
        probe_connection(tenant, kind, mapping)
    except SendFailure as failure:
        raise PreconditionFailed(f"the test message was not taken: {failure.reason}") from None
