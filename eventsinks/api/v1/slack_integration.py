"""Slack workspaces over /v1: install, list, get, uninstall."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from pydantic import BaseModel
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions.slack import install as slack_install
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.errors import Conflict, ErrorResponse
from eventsinks.api.v1.event_sink_shapes import Deleted
from eventsinks.api.v1.shapes import Free
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    Listing,
    V1View,
    document_answers,
    find_row,
    read_page,
    read_query,
    require_tenant,
    show_page,
)
from eventsinks.models import SlackWorkspace


class AuthorizeUrl(BaseModel):
    """Where a person installs the Slack app."""

    authorize_url: str


class SlackIntegrationViewSet(V1View, ViewSet):
    """Install the Slack app in a workspace, see where it is, and take it out again."""

    scope = "event_sink"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(Free, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List the Slack workspaces of the tenant."""
        asked = read_query(Listing, request)
        require_tenant(request, asked.tenant_id)
        found, token = read_page(find_workspaces(request), asked.page)
        return Response(show_page("slack_integrations", [show_workspace(one) for one in found], token))

    @document_answers(AuthorizeUrl, request=None, errors={409: ErrorResponse})
    @action(detail=False, methods=["post"])
    def install(self, request: Request) -> Response:
        """Begin an installation: open the page in a browser within ten minutes; it asks, and leads to Slack."""
        try:
            state = slack_install.begin_installation(get_tenant(request), get_initiator(request))
        except slack_install.NotInstallable as error:
            raise Conflict(str(error)) from None
        return Response({"authorize_url": slack_install.make_landing_url(state)})

    @document_answers(Free)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a Slack workspace."""
        return Response({"slack_integration": show_workspace(find_row(find_workspaces(request), id))})

    @document_answers(Deleted, errors={409: ErrorResponse})
    def destroy(self, request: Request, id: str) -> Response:
        """Uninstall: the token is revoked and forgotten. Refused while event sinks post to the workspace."""
        workspace = find_row(find_workspaces(request), id)
        answer = {"id": workspace.pk, "tenant_id": workspace.tenant_id}
        try:
            slack_install.uninstall(workspace, get_initiator(request))
        except slack_install.InUse as error:
            raise Conflict(str(error)) from None
        return Response(answer)


def find_workspaces(request: Request) -> QuerySet[SlackWorkspace]:
    """Return the workspaces of the key's tenant."""
    return SlackWorkspace.objects.filter(tenant=get_tenant(request))


def show_workspace(workspace: SlackWorkspace) -> dict[str, Any]:
    """Return a workspace. Opens no secret."""
    return {
        "id": workspace.id,
        "tenant_id": workspace.tenant_id,
        "team_id": workspace.team_id,
        "team_name": workspace.team_name,
        "scopes": [scope for scope in workspace.scopes.split(",") if scope],
        "expires_at": workspace.expires_at,
        "created_at": workspace.created_at,
        "updated_at": workspace.updated_at,
    }
