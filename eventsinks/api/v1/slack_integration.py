"""Slack workspaces over /v1: install, list, get, uninstall."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from pydantic import BaseModel, Field
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions.slack import install as slack_install
from eventsinks.api.authentication import get_initiator, get_tenant
from eventsinks.api.errors import Conflict
from eventsinks.api.v1.event_sink_shapes import Deleted
from eventsinks.api.v1.shapes import make_one_model, make_page_model
from eventsinks.api.v1.view import (
    PAGING,
    TENANT,
    V1View,
    answer_page,
    document_answers,
    find_row,
    read_own_paging,
)
from eventsinks.models import SlackWorkspace


class AuthorizeUrl(BaseModel):
    """The page where a person installs the Slack app."""

    authorize_url: str = Field(description="the page, good for ten minutes")


class SlackIntegrationOut(BaseModel):
    """A Slack workspace in which the app is installed."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it is")
    team_id: str = Field(description="Slack's id of the workspace")
    team_name: str = Field(description="its name")
    scopes: list[str] = Field(description="what the app may do there")
    expires_at: datetime | None = Field(description="until when the token is good, where it ends")
    created_at: datetime = Field(description="when it was installed")
    updated_at: datetime = Field(description="when it was changed last")


SlackIntegrationPage = make_page_model("slack_integrations", SlackIntegrationOut)
OneSlackIntegration = make_one_model("slack_integration", SlackIntegrationOut)


class SlackIntegrationViewSet(V1View, ViewSet):
    """Install the Slack app in workspaces, list and get them, and uninstall it."""

    scope = "event_sink"
    resource = "slack_integration"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(SlackIntegrationPage, parameters=[TENANT, *PAGING])
    def list(self, request: Request) -> Response:
        """List Slack workspaces."""
        paging = read_own_paging(request)
        return answer_page("slack_integrations", find_workspaces(request), paging, show_workspace)

    @document_answers(AuthorizeUrl, request=None, errors=[409])
    @action(detail=False, methods=["post"])
    def install(self, request: Request) -> Response:
        """Begin an installation. Open the page in a browser within ten minutes. It asks, and leads to Slack.

        409: this server has no Slack app.
        """
        try:
            state = slack_install.begin_installation(get_tenant(request), get_initiator(request))
        except slack_install.NotInstallable as error:
            raise Conflict(str(error)) from None
        return Response({"authorize_url": slack_install.make_landing_url(state)})

    @document_answers(OneSlackIntegration)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a Slack workspace."""
        return Response({"slack_integration": show_workspace(find_row(find_workspaces(request), id))})

    @document_answers(Deleted, errors=[409])
    def destroy(self, request: Request, id: str) -> Response:
        """Uninstall a Slack workspace. The token is revoked and removed. 409: event sinks post to it."""
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
    """Return a workspace. This opens no secret."""
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
