"""Audit: records our own changes as audit events of their tenant, which are sent like all other events."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from django.db import transaction
from structlog.contextvars import get_contextvars

from eventsinks import telemetry
from eventsinks.event_types import event_type
from eventsinks.event_types.activity_codes import find_activity
from eventsinks.event_types.documents import write_time
from eventsinks.intake.accept import accept
from eventsinks.models import ApiKey, Destination, Tenant
from eventsinks.models.database.clock import read_database_clock

log = logging.getLogger(__name__)

# NetBird's codes for changes of a destination or of a key.
CREATED, UPDATED, DELETED = "integration.create", "integration.update", "integration.delete"
KEY_ISSUED, KEY_REVOKED = "personal.access.token.create", "personal.access.token.delete"
TESTED, SECRET_SHOWN = "integration.test.send", "signing_secret.reveal"


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who made a change, and from which address. It holds no secret: the id of an API key is not its text."""

    id: str
    name: str = ""
    email: str = ""
    address: str = ""


SYSTEM = Initiator("sys")  # NetBird's word for a change that no person made


def record_change(
    tenant: Tenant,
    activity_code: str,
    target_id: str,
    meta: Mapping[str, str],
    initiator: Initiator = SYSTEM,
) -> None:
    """Accept an audit event of `tenant`. Inside a transaction, it is committed together with the change."""
    document = {
        "id": str(uuid.uuid4()),
        "timestamp": write_time(read_database_clock()),
        "activity": find_activity(activity_code),
        "activity_code": activity_code,
        "initiator_id": initiator.id,
        "initiator_name": initiator.name,
        "initiator_email": initiator.email,
        "target_id": target_id,
        "meta": {**meta, **({"address": initiator.address} if initiator.address else {})},
    }
    acceptance = accept(tenant, event_type("audit"), [orjson.dumps(document)])
    line = {**get_contextvars(), "tenant": tenant.id, **document}
    transaction.on_commit(lambda: telemetry.write_line("change.recorded", line))
    for rejection in acceptance.rejections:  # the change itself is made anyway
        log.error("%s of %s is not recorded: %s %s", activity_code, target_id, rejection.field, rejection.message)


def record_destination(
    activity_code: str,
    destination: Destination,
    initiator: Initiator = SYSTEM,
    more: Mapping[str, str] | None = None,
) -> None:
    """Record a change of a destination. `more` adds details that the code does not tell."""
    face = destination.kind.face
    target = f"event_streaming:{destination.id}" if face == "integration" else f"event_sink:{destination.uuid}"
    meta = {"platform": destination.type, **(more or {})}
    if face == "event_sink":
        meta["name"] = destination.name
    record_change(destination.tenant, activity_code, target, meta, initiator)


def record_key(activity_code: str, key: ApiKey, initiator: Initiator = SYSTEM) -> None:
    """Record a change of a tenant's key. An operator's key belongs to no tenant and is not recorded."""
    if key.tenant is not None:
        meta = {"name": key.name, "prefix": key.prefix, "scopes": " ".join(key.scopes)}
        if key.expires_at is not None:
            meta["expires_at"] = write_time(key.expires_at)
        record_change(key.tenant, activity_code, f"api_key:{key.id}", meta, initiator)
