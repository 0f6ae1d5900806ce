"""Notify: sends event sinks a notice of the service itself, the same way as every event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from eventsinks.event_types import event_type
from eventsinks.event_types.documents import write_time
from eventsinks.intake.accept import accept
from eventsinks.models import Destination, Tenant
from eventsinks.models.database.clock import read_database_clock


def notify(sink: Destination, id: str, about: str, name: str, description: str, **fields: Any) -> None:
    """Accept a notice for `sink` alone. `about` is `round_up` or `drill`."""
    notify_sinks(sink.tenant, [sink.uuid], id, about, name, description, **fields)


def notify_sinks(
    tenant: Tenant, sinks: Sequence[UUID], id: str, about: str, name: str, description: str, **fields: Any
) -> None:
    """Accept a notice for some event sinks of a tenant.

    Inside a transaction, it is committed together with what it reports. The notice's own `id` makes sure that it
    is sent once. `about` says what it is.
    """
    document = {
        "id": id,
        "tenant_id": str(tenant.id),
        "event_sink_ids": [str(sink) for sink in sinks],
        "name": name,
        "description": description,
        "severity": "Informational",
        "severity_id": 1,
        "dedup_key": id,
        "timestamp": write_time(read_database_clock()),
        "tags": [about],
        "notice": about,
        **fields,
    }
    acceptance = accept(tenant, event_type("notice"), [orjson.dumps(document)])
    if acceptance.rejections:
        raise ValueError(f"a notice was not taken: {acceptance.rejections}")
