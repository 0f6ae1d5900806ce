"""How events, deliveries and attempts are shown over /v1."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from eventsinks.models import Attempt, Delivery


class Free(BaseModel):
    """An object; its fields stand in docs/api.md."""

    model_config = ConfigDict(extra="allow")


def delivery_out(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery."""
    return {
        "id": delivery.id,
        "event_sink_id": delivery.destination.uuid,
        "event_sink_name": delivery.destination.name,
        "detection_alert_id": delivery.event.key,
        "state": delivery.state,
        "tries": delivery.tries,
        "due_at": delivery.due_at,
        "status": delivery.status,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "settled_at": delivery.settled_at,
    }


def attempt_out(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt. Times are milliseconds from its start."""
    return {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "reason": attempt.reason,
        "excerpt": attempt.excerpt,
        "peer": attempt.peer,
        "timings_ms": {
            "dns": attempt.dns_ms,
            "connect": attempt.connect_ms,
            "tls": attempt.tls_ms,
            "first_byte": attempt.first_byte_ms,
            "total": attempt.total_ms,
        },
    }
