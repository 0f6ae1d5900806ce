"""Tenants and their API keys: create, issue, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.actions import audit
from eventsinks.actions.audit import SYSTEM, Initiator
from eventsinks.models import SCOPES, ApiKey, Tenant
from eventsinks.models.tenant import KEY_PREFIX, OPERATOR, digest_of, new_key_text

CREATED, UPDATED = "tenant.create", "tenant.update"
SHOWN = len(KEY_PREFIX) + 6  # characters of a key that are kept in clear, to recognise it by


def create_tenant(name: str, id: UUID | None = None, initiator: Initiator = SYSTEM) -> Tenant:
    """Make a tenant. Raises ValueError where the id is taken."""
    if id is not None and Tenant.objects.filter(id=id).exists():
        raise ValueError(f"tenant {id} exists already")
    with transaction.atomic():
        tenant = Tenant.objects.create(name=name, **({"id": id} if id else {}))
        audit.record(tenant, CREATED, f"tenant:{tenant.id}", {"name": name}, initiator)
    return tenant


def rename_tenant(tenant: Tenant, name: str, initiator: Initiator = SYSTEM) -> bool:
    """Give a tenant another name. Return False where it has that name."""
    with transaction.atomic():
        before = Tenant.objects.select_for_update().values_list("name", flat=True).get(id=tenant.id)
        if not Tenant.objects.filter(id=tenant.id, name=before).exclude(name=name).update(name=name):
            return False
        audit.record(tenant, UPDATED, f"tenant:{tenant.id}", {"name": f"{before} → {name}"}, initiator)
    return True


def issue_key(
    tenant: Tenant | None,
    *,
    scopes: Sequence[str] | None = None,
    name: str = "",
    expires_at: datetime | None = None,
    initiator: Initiator = SYSTEM,
) -> tuple[ApiKey, str]:
    """Make an API key; return it with its text, which can't be had again.

    Without a `tenant` it is an operator's key. Without `scopes` it may do everything.

    Raises ValueError for a scope that there is not.
    """
    granted = list(scopes) if scopes is not None else ([*SCOPES] if tenant else [OPERATOR])
    known = SCOPES if tenant else {OPERATOR: ""}
    unknown = [scope for scope in granted if scope not in known]
    if unknown:
        raise ValueError(f"no such scope: {', '.join(unknown)}; there are: {', '.join(known)}")
    text = new_key_text()
    with transaction.atomic():
        key = ApiKey.objects.create(
            tenant=tenant,
            name=name,
            prefix=text[:SHOWN],
            digest=digest_of(text),
            scopes=granted,
            expires_at=expires_at,
        )
        audit.record_key(audit.KEY_ISSUED, key, initiator)
    return key, text


def revoke_key(key: ApiKey, initiator: Initiator = SYSTEM) -> bool:
    """End a key at once. Return False if it had ended before."""
    with transaction.atomic():
        if not ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=Now()):
            return False
        audit.record_key(audit.KEY_REVOKED, key, initiator)
    return True
