"""Delete a tenant: from the commit on its keys open nothing and nothing is sent. The sweep deletes what it has."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.models import ApiKey, Destination, Replay, Tenant
from eventsinks.models.replay import ReplayState

DELETE = "tenant.delete"
WITHOUT_SECRETS: dict[str, Any] = {
    "sealed_secrets": "",
    "sealed_signing_secret": "",
    "sealed_old_signing_secret": "",
    "old_signing_secret_until": None,
    "slack_workspace": None,
}

log = logging.getLogger(__name__)


def delete_tenant(tenant: Tenant, initiator: Initiator = SYSTEM) -> bool:
    """Begin to delete a tenant, with all that it has. There is no way back. Return False if it had begun.

    The tenant's own audit log records it, and is deleted too; so the server's log says it.
    """
    with transaction.atomic():
        current = Tenant.objects.select_for_update(no_key=True).get(id=tenant.id)
        if current.deleted_at is not None:
            return False
        audit.record_change(current, DELETE, f"tenant:{current.id}", {"name": current.name}, initiator)
        ApiKey.objects.filter(tenant=current, revoked_at=None).update(revoked_at=Now())
        stop_destinations(current)
        Replay.objects.of(current).end(ReplayState.CANCELLED)
        Tenant.objects.filter(id=current.id).update(deleted_at=Now())
    log.warning("the tenant %s (%s) is being deleted, as %s asked", current.id, current.name, initiator.id)
    return True


def stop_destinations(tenant: Tenant) -> int:
    """Send nothing to any destination of a tenant, and delete their secrets. Return how many were present."""
    present = Destination.objects.of(tenant)
    return present.update(deleted_at=Now(), version=F("version") + 1, **WITHOUT_SECRETS)
