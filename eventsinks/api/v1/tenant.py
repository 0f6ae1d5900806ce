"""Tenants and their API keys over /v1, for operators' keys only. The admin does the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404
from pydantic import BaseModel
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import tenants
from eventsinks.api.authentication import get_initiator
from eventsinks.api.errors import Conflict, ErrorResponse, Invalid
from eventsinks.api.v1.shapes import Free, Moment
from eventsinks.api.v1.view import (
    PAGING,
    Name,
    Pages,
    V1View,
    document_answers,
    find_row,
    read_input,
    read_page,
    read_query,
    show_page,
)
from eventsinks.models import ApiKey, Tenant
from eventsinks.models.limits import OwnLimits
from eventsinks.models.tenant import OPERATOR


class CreateTenant(BaseModel):
    """A new tenant; with an id of its own, or one that is given."""

    name: Name
    id: UUID | None = None
    limits: OwnLimits | None = None  # type: ignore[valid-type]


class UpdateTenant(BaseModel):
    """What is given changes. A limit that is null is the server's again."""

    name: Name | None = None
    limits: OwnLimits | None = None  # type: ignore[valid-type]


class CreateApiKey(BaseModel):
    """A new API key of a tenant; without scopes it may do everything."""

    tenant_id: UUID
    name: Name = "API key"
    scopes: list[str] | None = None
    expires_at: Moment | None = None


class TenantViewSet(V1View, ViewSet):
    """Create, list and get tenants."""

    scope = OPERATOR
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(Free, parameters=PAGING)
    def list(self, request: Request) -> Response:
        """List tenants."""
        found, token = read_page(Tenant.objects.all(), read_query(Pages, request).page)
        return Response(show_page("tenants", [show_tenant(tenant) for tenant in found], token))

    @document_answers(Free, request=CreateTenant, errors={409: ErrorResponse})
    def create(self, request: Request) -> Response:
        """Create a tenant."""
        asked = read_input(CreateTenant, request.data)
        try:
            limits = read_limits(asked.limits)
            tenant = tenants.create_tenant(asked.name, asked.id, get_initiator(request), limits)
        except (ValueError, IntegrityError):  # the latter, where two ask at the same time
            raise Conflict(f"tenant {asked.id} exists already") from None
        return Response({"tenant": show_tenant(tenant)})

    @document_answers(Free)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a tenant."""
        return Response({"tenant": show_tenant(find_row(Tenant.objects.all(), id))})

    @document_answers(Free, request=UpdateTenant)
    def update(self, request: Request, id: str) -> Response:
        """Give a tenant another name, or limits of its own; what is over them stays, and can only become less."""
        tenant, asked = find_row(Tenant.objects.all(), id), read_input(UpdateTenant, request.data)
        changed = tenants.change_tenant(tenant, asked.name, read_limits(asked.limits), get_initiator(request))
        return Response({"tenant": show_tenant(changed)})


class ApiKeyViewSet(V1View, ViewSet):
    """Issue, list and revoke API keys."""

    scope = OPERATOR
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(Free, parameters=PAGING)
    def list(self, request: Request) -> Response:
        """List the keys of all tenants; their texts are not kept."""
        found, token = read_page(find_keys(), read_query(Pages, request).page)
        return Response(show_page("api_keys", [show_key(key) for key in found], token))

    @document_answers(Free, request=CreateApiKey)
    def create(self, request: Request) -> Response:
        """Issue a key. Its text is in this answer and can't be had again."""
        asked = read_input(CreateApiKey, request.data)
        tenant = find_row(Tenant.objects.all(), str(asked.tenant_id))
        try:
            key, text = tenants.issue_key(
                tenant,
                scopes=asked.scopes,
                name=asked.name,
                expires_at=asked.expires_at,
                initiator=get_initiator(request),
            )
        except ValueError as error:
            raise Invalid([("scopes", str(error))]) from None
        return Response({"api_key": {**show_key(key), "key": text}})

    @document_answers(Free)
    def destroy(self, request: Request, id: str) -> Response:
        """Revoke a key at once."""
        key = find_row(find_keys(), id)
        if not tenants.revoke_key(key, get_initiator(request)):
            raise Http404("no such API key")
        return Response({"id": key.id})


def find_keys() -> QuerySet[ApiKey]:
    """Return the keys of tenants; operators' keys are looked after on the server."""
    return ApiKey.objects.exclude(tenant=None)


def read_limits(limits: BaseModel | None) -> dict[str, int | None]:
    """Return the limits that were said."""
    return limits.model_dump(exclude_unset=True) if limits else {}


def show_tenant(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant, with its limits, and those of them that are its own."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created_at": tenant.created_at,
        "limits": tenant.limits.model_dump(),
        "own_limits": tenant.own_limits,
    }


def show_key(key: ApiKey) -> dict[str, datetime | Any]:
    """Return a key, without its text."""
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
