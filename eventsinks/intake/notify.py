"""Notify: sends an event sink a notice of the service itself, the same way as every event."""

from __future__ import annotations

from typing import Any

import orjson

from eventsinks.event_types import event_type
from eventsinks.event_types.documents import write_time
from eventsinks.intake.accept import accept
from eventsinks.models import Destination
from eventsinks.models.database.clock import read_database_clock


def notify(sink: Destination, id: str, about: str, name: str, description: str, **fields: Any) -> None:
    """Accept a notice for `sink` alone. Inside a transaction, it is committed together with what it reports.

    The notice's own `id` makes sure that it is sent once. `about` is `round_up` or `drill`.
    """
    document = {
        "id": id,
        "tenant_id": str(sink.tenant_id),
        "event_sink_ids": [str(sink.uuid)],
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
    acceptance = accept(sink.tenant, event_type("notice"), [orjson.dumps(document)])
    if acceptance.rejections:
        raise ValueError(f"a notice was not taken: {acceptance.rejections}")
