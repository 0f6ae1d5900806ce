"""NetBird's event-streaming integrations: what comes in, what goes out. Nothing is decided here.

https://docs.netbird.io/api/resources/event-streaming. The spec asks for more on a PUT than its clients send; what
they send is enough.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, RootModel, StrictBool, StrictStr
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import configure
from eventsinks.actions.probe import probe, ready_after, ready_with
from eventsinks.api.authentication import initiator_of, tenant_of
from eventsinks.api.netbird.errors import BadRequest, ErrorBody, InvalidArgument, PreconditionFailed
from eventsinks.api.netbird.view import NetBirdView, documented, read_body
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import AnyDestinationType, SendFailure
from eventsinks.models import Destination
from eventsinks.models.destination import types_with

LARGEST_ID = 2**63 - 1


class CreateIntegration(BaseModel):
    """A new integration. Every value of the config is a string; docs/api.md says which a platform has."""

    platform: StrictStr
    config: dict[StrictStr, StrictStr]
    enabled: StrictBool = True


class UpdateIntegration(BaseModel):
    """What changes of an integration: what is absent stays. A `****` in the config stays, too."""

    config: dict[StrictStr, StrictStr] | None = None
    enabled: StrictBool | None = None


class IntegrationOut(BaseModel):
    """An integration."""

    id: int
    account_id: str
    enabled: bool
    platform: str
    created_at: datetime
    updated_at: datetime
    config: dict[str, str]
    state: str
    state_reason: str
    event_types: list[str]


class ManyIntegrations(RootModel[list[IntegrationOut]]):
    """Integrations, oldest first."""


class Nothing(BaseModel):
    """An empty object."""


UNTESTED = {412: OpenApiResponse(ErrorBody, "the far end did not take the test message; nothing was kept")}


class IntegrationViewSet(NetBirdView, ViewSet):
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
        if asked.platform not in types_with("integration"):
            raise InvalidArgument([("platform", f"must be one of {', '.join(types_with('integration'))}")])
        try:
            kind = ready_with(asked.platform, asked.config)
            if asked.enabled:
                connect(kind)
            made = configure.create(
                tenant_of(request),
                asked.platform,
                asked.config,
                name=destination_type(asked.platform).label,
                enabled=asked.enabled,
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
        if asked.config is None and asked.enabled is None:
            return Response(integration_out(integration))
        on = integration.enabled if asked.enabled is None else asked.enabled
        try:
            if on and (asked.config is not None or not integration.enabled):
                connect(ready_after(integration, asked.config or {}))
            changed = configure.change(
                integration, asked.config, enabled=asked.enabled, initiator=initiator_of(request)
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


def integrations_of(request: Request) -> Any:
    """Return the integrations of the key's tenant."""
    return Destination.objects.of(tenant_of(request)).integrations().select_related("tenant")


def find(request: Request, id: str) -> Destination:
    """Return the integration of this id. Raises BadRequest for what is no id, Http404."""
    if not re.fullmatch(r"[0-9]{1,19}", id) or int(id) > LARGEST_ID:
        raise BadRequest("invalid integration id format")
    found: Destination | None = integrations_of(request).filter(id=int(id)).first()
    if found is None:
        raise missing(id)
    return found


def missing(id: str) -> Http404:
    """Return the error for an integration that there is not."""
    return Http404(f"event streaming integration {id} not found")


def connect(kind: AnyDestinationType) -> None:
    """Try the connection. Raises PreconditionFailed with what the far end says."""
    try:
        probe(kind)
    except SendFailure as failure:
        raise PreconditionFailed(f"the test message was not taken: {failure.reason}") from None


def in_config(error: configure.NotConfigurable) -> InvalidArgument:
    """Return an error of the config as one of the request, with the path in the request."""
    return InvalidArgument([(f"config.{problem.field}".rstrip("."), problem.message) for problem in error.errors])


def integration_out(integration: Destination) -> dict[str, Any]:
    """Return an integration as it is shown. Opens no secret."""
    return {
        "id": integration.id,
        "account_id": integration.tenant_id,
        "enabled": integration.enabled,
        "platform": integration.type,
        "created_at": integration.created_at,
        "updated_at": integration.updated_at,
        "config": integration.config,
        "state": integration.state,
        "state_reason": integration.state_reason,
        "event_types": integration.event_types,
    }
