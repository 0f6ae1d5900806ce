"""Tenants: creates and changes tenants, and issues and revokes their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import hold_room
from eventsinks.models import SCOPES, ApiKey, Tenant
from eventsinks.models.retention import get_retention, make_due
from eventsinks.models.tenant import OPERATOR, make_key_digest, make_key_text

CREATED, UPDATED = "tenant.create", "tenant.update"
LIMITS_CHANGED, RETENTION_CHANGED = "tenant.limits.update", "tenant.retention.update"
HIDDEN = 37  # characters at the end of a key of which nothing is stored; of the others, as many as fit the column


def create_tenant(
    name: str,
    id: UUID | None = None,
    initiator: Initiator = SYSTEM,
    limits: Mapping[str, int | None] | None = None,
    retention: Mapping[str, int | None] | None = None,
) -> Tenant:
    """Create a tenant, with its own limits and days if given. Raises ValueError if the id is taken."""
    if id is not None and Tenant.objects.filter(id=id).exists():
        raise ValueError(f"tenant {id} exists already")
    own, days = merge({}, limits), merge({}, retention)
    given = {"id": id} if id else {}
    with transaction.atomic():
        tenant = Tenant.objects.create(name=name, own_limits=own, own_retention=days, **given)
        kept = {f"keep_{each}_days": value for each, value in days.items()}
        told = {each: str(value) for each, value in {**own, **kept}.items()}
        audit.record_change(tenant, CREATED, f"tenant:{tenant.id}", {"name": name, **told}, initiator)
    return tenant


def change_tenant(
    tenant: Tenant,
    name: str | None = None,
    limits: Mapping[str, int | None] | None = None,
    retention: Mapping[str, int | None] | None = None,
    initiator: Initiator = SYSTEM,
) -> Tenant:
    """Change the given fields. A limit, or days, of None means the server's. What exceeds a new limit stays.

    What is kept for fewer days from now on goes with the next sweeps. Raises TenantIsDeleted.
    """
    with transaction.atomic():
        current = Tenant.objects.select_for_update(no_key=True).get(id=tenant.id)
        before, called = refuse_deleted(tenant), current.name
        current.own_limits = merge(current.own_limits, limits)
        current.own_retention = merge(current.own_retention, retention)
        current.name = called if name is None else name
        current.save(update_fields=["name", "own_limits", "own_retention"])
        about = f"tenant:{current.id}"
        if current.name != called:
            audit.record_change(current, UPDATED, about, {"name": f"{called} → {current.name}"}, initiator)
        if current.own_limits != before.own_limits:
            meta = tell_changes(before.limits, current.limits, limits)
            audit.record_change(current, LIMITS_CHANGED, about, meta, initiator)
        if current.own_retention != before.own_retention:
            kept, keeps = get_retention(before.own_retention), get_retention(current.own_retention)
            audit.record_change(current, RETENTION_CHANGED, about, tell_changes(kept, keeps, retention), initiator)
            make_due(current)
    return current


class TenantIsDeleted(ValueError):
    """The tenant is being deleted: it can't be changed any more."""


def refuse_deleted(tenant: Tenant) -> Tenant:
    """Return the tenant as it is now. Raises TenantIsDeleted."""
    current = Tenant.objects.get(id=tenant.id)
    if current.deleted_at is not None:
        raise TenantIsDeleted(f"the tenant {tenant.id} is being deleted")
    return current


def merge(own: Mapping[str, int], given: Mapping[str, int | None] | None) -> dict[str, int]:
    """Return a tenant's own numbers with the given ones; None takes one away."""
    told = {**own, **(given or {})}
    return {each: number for each in sorted(told) if (number := told[each]) is not None}


def tell_changes(before: Any, now: Any, given: Mapping[str, int | None] | None) -> dict[str, str]:
    """Return for each given number what it was and what it is."""
    return {each: f"{getattr(before, each)} → {getattr(now, each)}" for each in given or {}}


def issue_key(
    tenant: Tenant | None,
    *,
    scopes: Sequence[str] | None = None,
    name: str = "",
    expires_at: datetime | None = None,
    initiator: Initiator = SYSTEM,
) -> tuple[ApiKey, str]:
    """Create an API key. Return it with its text, which can't be read again later.

    Without a `tenant` it is an operator's key. Without `scopes` it may do everything. Raises ValueError for an
    unknown scope, TenantIsDeleted, and LimitReached. Operators' keys have no limit.
    """
    granted = list(scopes) if scopes is not None else ([*SCOPES] if tenant else [OPERATOR])
    known = SCOPES if tenant else {OPERATOR: ""}
    unknown = [scope for scope in granted if scope not in known]
    if unknown:
        raise ValueError(f"no such scope: {', '.join(unknown)}; there are: {', '.join(known)}")
    text = make_key_text()
    with transaction.atomic():
        if tenant is not None:
            hold_room(tenant, "api_keys")
            refuse_deleted(tenant)
        key = ApiKey.objects.create(
            tenant=tenant,
            name=name,
            prefix=text[:-HIDDEN][:12],
            digest=make_key_digest(text),
            scopes=granted,
            expires_at=expires_at,
        )
        audit.record_key(audit.KEY_ISSUED, key, initiator)
    return key, text


def revoke_key(key: ApiKey, initiator: Initiator = SYSTEM) -> bool:
    """Revoke a key at once. Return False if it was revoked before."""
    with transaction.atomic():
        if not ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=Now()):
            return False
        audit.record_key(audit.KEY_REVOKED, key, initiator)
    return True
