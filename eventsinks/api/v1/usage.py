"""GET /v1/usage: the limits of the key's tenant, and how much of each is used."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response

from eventsinks.actions.usage import Used, measure_usage
from eventsinks.api.authentication import get_tenant
from eventsinks.api.v1.view import V1View, document_answers
from eventsinks.models.limits import TenantLimits
from eventsinks.models.retention import Retention, get_retention


class UsedOut(BaseModel):
    """One limit. For a rate, `limit` counts for `per_seconds`, and `used` is the used part of `burst`."""

    limit: int = Field(description="how many there may be")
    used: int = Field(description="how many there are")
    refused: int = Field(description="how many were refused since `refused_since`")
    per_seconds: int | None = Field(description="of a rate: in how many seconds; else null")
    burst: int | None = Field(description="of a rate: how many may come at once; else null")
    what: str = Field(description="what is counted")


class UsageOut(BaseModel):
    """Every limit by its name. `refused` counts since `refused_since`."""

    limits: dict[str, UsedOut] = Field(description="each limit by its name")
    kept_days: Retention = Field(  # type: ignore[valid-type]
        description="for how many days rows are kept; what is owed stays longer"
    )
    refused_since: datetime | None = Field(description="since when it is counted; null: nothing was refused")


class OneUsage(BaseModel):
    """The usage of the key's tenant."""

    usage: UsageOut = Field(description="what is used")


class UsageView(V1View):
    """The limits of a tenant, and its usage."""

    scope = "event_sink"
    resource = "usage"
    verbs = {"get": "get"}

    @document_answers(OneUsage)
    def get(self, request: Request) -> Response:
        """Get the limits and the usage of the tenant. This request counts against the limit of requests only."""
        tenant = get_tenant(request)
        found = measure_usage(tenant)
        kept = get_retention(tenant.own_retention).model_dump()
        limits = {used.name: show_limit(used) for used in found.limits}
        return Response({"usage": {"limits": limits, "kept_days": kept, "refused_since": found.since}})


def show_limit(used: Used) -> dict[str, object]:
    """Return one limit."""
    return {
        "limit": used.limit,
        "used": used.used,
        "refused": used.refused,
        "per_seconds": used.per_seconds,
        "burst": used.burst,
        "what": TenantLimits.model_fields[used.name].description,
    }
