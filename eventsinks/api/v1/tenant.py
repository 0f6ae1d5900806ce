"""Tenants and their API keys over /v1, for operators' keys only. The admin does the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from eventsinks.actions import tenants
from eventsinks.actions.delete_tenant import delete_tenant
from eventsinks.api.authentication import get_initiator
from eventsinks.api.errors import Conflict, Invalid
from eventsinks.api.v1.shapes import Moment, make_one_model, make_page_model
from eventsinks.api.v1.view import (
    PAGING,
    Name,
    Pages,
    V1View,
    answer_page,
    document_answers,
    find_row,
    read_input,
    read_query,
)
from eventsinks.models import ApiKey, Tenant
from eventsinks.models.limits import OwnLimits, TenantLimits
from eventsinks.models.retention import OwnRetention, Retention, get_retention
from eventsinks.models.tenant import OPERATOR


class CreateTenant(BaseModel):
    """A new tenant. The id is optional."""

    name: Name = Field(description="what people call it")
    id: UUID | None = Field(None, description="an id that it shall have; made if absent")
    limits: OwnLimits | None = Field(None, description="limits of its own")  # type: ignore[valid-type]
    retention: OwnRetention | None = Field(  # type: ignore[valid-type]
        None, description="for how many days its rows are kept, where they are days of its own"
    )


class UpdateTenant(BaseModel):
    """The changes of a tenant. A null limit is the limit of the server again."""

    name: Name | None = Field(None, description="what people call it")
    limits: OwnLimits | None = Field(None, description="limits of its own")  # type: ignore[valid-type]
    retention: OwnRetention | None = Field(  # type: ignore[valid-type]
        None, description="for how many days its rows are kept, where they are days of its own"
    )


class CreateApiKey(BaseModel):
    """A new API key of a tenant. Without scopes it allows everything."""

    tenant_id: UUID = Field(description="for whom")
    name: Name = Field("API key", description="what it is for")
    scopes: list[str] | None = Field(None, description="what it opens; everything of the tenant if absent")
    expires_at: Moment | None = Field(None, description="until when it is good; for ever if absent")


class TenantOut(BaseModel):
    """A tenant."""

    id: UUID = Field(description="its id: `tenant_id` on /v1, `account_id` on /api")
    name: str = Field(description="what people call it")
    created_at: datetime = Field(description="when it was made")
    limits: TenantLimits = Field(description="its limits, each its own or the server's")
    own_limits: OwnLimits = Field(description="those of them that are its own")  # type: ignore[valid-type]
    retention: Retention = Field(  # type: ignore[valid-type]
        description="for how many days its rows are kept, each its own or the server's"
    )
    own_retention: OwnRetention = Field(description="those of them that are its own")  # type: ignore[valid-type]
    deleted_at: datetime | None = Field(description="when its deletion began, which is under way; else null")


class ApiKeyOut(BaseModel):
    """An API key, without its text."""

    id: UUID = Field(description="its id")
    tenant_id: UUID = Field(description="whose it is")
    name: str = Field(description="what it is for")
    prefix: str = Field(description="how its text begins")
    scopes: list[str] = Field(description="what it opens")
    created_at: datetime = Field(description="when it was issued")
    expires_at: datetime | None = Field(description="until when it is good; null: for ever")
    revoked_at: datetime | None = Field(description="when it was revoked")


class NewApiKey(ApiKeyOut):
    """An API key with its text. No other answer shows the text."""

    key: str = Field(description="the text: `es_…`")


class Revoked(BaseModel):
    """A revoked key. It allows nothing from now on."""

    id: UUID = Field(description="its id")


TenantPage = make_page_model("tenants", TenantOut)
OneTenant = make_one_model("tenant", TenantOut)
ApiKeyPage = make_page_model("api_keys", ApiKeyOut)
OneNewApiKey = make_one_model("api_key", NewApiKey)


class TenantViewSet(V1View, ViewSet):
    """Create, list, get, change and delete tenants."""

    scope = OPERATOR
    resource = "tenant"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(TenantPage, parameters=PAGING)
    def list(self, request: Request) -> Response:
        """List tenants, newest first."""
        return answer_page("tenants", Tenant.objects.all(), read_query(Pages, request).page, show_tenant)

    @document_answers(OneTenant, request=CreateTenant, errors=[409])
    def create(self, request: Request) -> Response:
        """Create a tenant. 409: a tenant with this id exists."""
        asked = read_input(CreateTenant, request.data)
        try:
            limits, retention = read_numbers(asked.limits), read_numbers(asked.retention)
            tenant = tenants.create_tenant(asked.name, asked.id, get_initiator(request), limits, retention)
        except (ValueError, IntegrityError):  # the latter, where two ask at the same time
            raise Conflict(f"tenant {asked.id} exists already") from None
        return Response({"tenant": show_tenant(tenant)})

    @document_answers(OneTenant)
    def retrieve(self, request: Request, id: str) -> Response:
        """Get a tenant."""
        return Response({"tenant": show_tenant(find_row(Tenant.objects.all(), id))})

    @document_answers(OneTenant, request=UpdateTenant, errors=[409])
    def update(self, request: Request, id: str) -> Response:
        """Update a tenant: its name, its limits and its days.

        What is over a new limit stays, but nothing can be added. What is kept for fewer days goes soon. 409: it is
        being deleted.
        """
        tenant, asked = find_row(Tenant.objects.all(), id), read_input(UpdateTenant, request.data)
        limits, retention = read_numbers(asked.limits), read_numbers(asked.retention)
        try:
            changed = tenants.change_tenant(tenant, asked.name, limits, retention, get_initiator(request))
        except tenants.TenantIsDeleted as error:
            raise Conflict(str(error)) from None
        return Response({"tenant": show_tenant(changed)})

    @document_answers(OneTenant)
    def destroy(self, request: Request, id: str) -> Response:
        """Delete a tenant with all that it has.

        Its keys open nothing from now on, and nothing more is sent. All its rows are deleted, step by step. Until
        then it can be got, and `deleted_at` says since when it is deleted; after that, it is not found. There is
        no way back.
        """
        tenant = find_row(Tenant.objects.all(), id)
        delete_tenant(tenant, get_initiator(request))
        tenant.refresh_from_db()
        return Response({"tenant": show_tenant(tenant)})


class ApiKeyViewSet(V1View, ViewSet):
    """Issue, list and revoke API keys."""

    scope = OPERATOR
    resource = "api_key"
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    @document_answers(ApiKeyPage, parameters=PAGING)
    def list(self, request: Request) -> Response:
        """List the API keys of all tenants. Their texts are not stored."""
        return answer_page("api_keys", find_keys(), read_query(Pages, request).page, show_key)

    @document_answers(OneNewApiKey, request=CreateApiKey, errors=[404, 409])
    def create(self, request: Request) -> Response:
        """Issue an API key. Only this answer has its text. 409: the tenant is being deleted."""
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
        except tenants.TenantIsDeleted as error:
            raise Conflict(str(error)) from None
        except ValueError as error:
            raise Invalid([("scopes", str(error))]) from None
        return Response({"api_key": {**show_key(key), "key": text}})

    @document_answers(Revoked)
    def destroy(self, request: Request, id: str) -> Response:
        """Revoke an API key. It allows nothing from now on."""
        key = find_row(find_keys(), id)
        if not tenants.revoke_key(key, get_initiator(request)):
            raise Http404("no such API key")
        return Response({"id": key.id})


def find_keys() -> QuerySet[ApiKey]:
    """Return the keys of tenants. Operators' keys are managed on the server only."""
    return ApiKey.objects.exclude(tenant=None)


def read_numbers(given: BaseModel | None) -> dict[str, int | None]:
    """Return the limits, or the days, of a request."""
    return given.model_dump(exclude_unset=True) if given else {}


def show_tenant(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant with all its limits, and its own limits apart."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created_at": tenant.created_at,
        "limits": tenant.limits.model_dump(),
        "own_limits": tenant.own_limits,
        "retention": get_retention(tenant.own_retention).model_dump(),
        "own_retention": tenant.own_retention,
        "deleted_at": tenant.deleted_at,
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
