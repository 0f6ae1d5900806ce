"""Tenants: creates and changes tenants, and issues and revokes their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import hold_room
from eventsinks.models import SCOPES, ApiKey, Tenant
from eventsinks.models.tenant import OPERATOR, make_key_digest, make_key_text

CREATED, UPDATED, LIMITS_CHANGED = "tenant.create", "tenant.update", "tenant.limits.update"
HIDDEN = 37  # characters at the end of a key of which nothing is stored; of the others, as many as fit the column


def create_tenant(
    name: str,
    id: UUID | None = None,
    initiator: Initiator = SYSTEM,
    limits: Mapping[str, int | None] | None = None,
) -> Tenant:
    """Create a tenant, with its own limits if given. Raises ValueError if the id is taken."""
    if id is not None and Tenant.objects.filter(id=id).exists():
        raise ValueError(f"tenant {id} exists already")
    own = {each: value for each, value in (limits or {}).items() if value is not None}
    with transaction.atomic():
        tenant = Tenant.objects.create(name=name, own_limits=own, **({"id": id} if id else {}))
        told = {each: str(value) for each, value in own.items()}
        audit.record_change(tenant, CREATED, f"tenant:{tenant.id}", {"name": name, **told}, initiator)
    return tenant


def change_tenant(
    tenant: Tenant,
    name: str | None = None,
    limits: Mapping[str, int | None] | None = None,
    initiator: Initiator = SYSTEM,
) -> Tenant:
    """Change the given fields. A limit of None means the server's. What exceeds a new limit stays."""
    with transaction.atomic():
        current = Tenant.objects.select_for_update(no_key=True).get(id=tenant.id)
        before, called, allowed = current.own_limits, current.name, current.limits
        told = {**before, **(limits or {})}
        current.own_limits = {each: told[each] for each in sorted(told) if told[each] is not None}
        current.name = called if name is None else name
        current.save(update_fields=["name", "own_limits"])
        about = f"tenant:{current.id}"
        if current.name != called:
            audit.record_change(current, UPDATED, about, {"name": f"{called} → {current.name}"}, initiator)
        if current.own_limits != before:
            now = current.limits
            meta = {each: f"{getattr(allowed, each)} → {getattr(now, each)}" for each in limits or {}}
            audit.record_change(current, LIMITS_CHANGED, about, meta, initiator)
    return current


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
    unknown scope, and LimitReached. Operators' keys have no limit.
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
