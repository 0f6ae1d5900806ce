"""How events, deliveries and attempts are shown over /v1."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from eventsinks.lib.addresses import shown_peer
from eventsinks.lib.wire import Timings
from eventsinks.models import Attempt, Delivery


class Free(BaseModel):
    """An object; its fields stand in docs/api.md."""

    model_config = ConfigDict(extra="allow")


def written_out(at: Any) -> Any:
    """Return what is a text and no number. Raises ValueError: pydantic would read numbers as seconds or days."""
    if at is not None and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", str(at)):
        raise ValueError("must be an RFC 3339 time with its offset, as 2030-01-31T00:00:00Z")
    return at


def in_utc(at: datetime) -> datetime:
    """Return a time in UTC. Raises ValueError where that is before the first year or after the last."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Moment = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(in_utc)]


def timings_out(timings: Timings) -> dict[str, float]:
    """Return timings in milliseconds."""
    return {name: seconds * 1000 for name, seconds in timings._asdict().items()}


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
        "peer": shown_peer(attempt.peer),
        "timings_ms": {
            "dns": attempt.dns_ms,
            "connect": attempt.connect_ms,
            "tls": attempt.tls_ms,
            "first_byte": attempt.first_byte_ms,
            "total": attempt.total_ms,
        },
    }
