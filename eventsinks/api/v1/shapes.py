"""How events, deliveries and attempts are shown over /v1."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from eventsinks.actions.obstacles import describe_obstacle, find_obstacle
from eventsinks.lib.moments import read_end, read_time
from eventsinks.lib.net.addresses import show_peer
from eventsinks.lib.net.wire import Timings
from eventsinks.models import Attempt, Delivery
from eventsinks.models.delivery import DeliveryState


class Free(BaseModel):
    """An object; its fields stand in docs/api.md."""

    model_config = ConfigDict(extra="allow")


def read_moment(given: Any, read: Callable[[str], datetime] = read_time) -> datetime:
    """Return the time that a text says, with its offset, or a day of UTC. Raises ValueError."""
    try:
        if TIME.fullmatch(text := str(given)):
            return read(text)
    except ValueError:
        pass  # it looks like a time, and is none
    raise ValueError("must be an RFC 3339 time with its offset, as 2030-01-31T00:00:00Z, or a day, as 2030-01-31")


def read_end_moment(given: Any) -> datetime:
    """Return the time until when: of a day, its last moment. Raises ValueError."""
    return read_moment(given, read_end)


TIME = re.compile(r"\d{4}-\d\d-\d\d([T ].*(Z|[+-]\d\d(:?\d\d)?))?", re.ASCII | re.IGNORECASE)
Moment = Annotated[datetime, BeforeValidator(read_moment)]
End = Annotated[datetime, BeforeValidator(read_end_moment)]


def show_timings(timings: Timings) -> dict[str, float]:
    """Return timings in milliseconds."""
    return {name: seconds * 1000 for name, seconds in timings._asdict().items()}


def show_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery."""
    return {
        "id": delivery.id,
        "event_sink_id": delivery.destination.uuid,
        "event_sink_name": delivery.destination.name,
        "detection_alert_id": delivery.event.key,
        "state": delivery.state,
        "tries": delivery.tries,
        "due_at": None if delivery.is_behind else delivery.due_at,
        **show_waiting(delivery),
        "status": delivery.status,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "settled_at": delivery.settled_at,
        "replayed": delivery.replayed,
    }


def show_waiting(delivery: Delivery) -> dict[str, Any]:
    """Return what a pending delivery waits for: in a word, in words, and the earlier one where it is that."""
    wait = find_obstacle(delivery) if delivery.state == DeliveryState.PENDING else None
    if wait is None:
        return {"waits_for": None, "waiting": None}
    text = describe_obstacle(delivery, wait).lstrip(": ")
    told = {"obstacle": wait.obstacle, "until": wait.until, "ahead": wait.ahead, "text": text}
    return {"waits_for": wait.first.id if wait.first else None, "waiting": told}


def show_attempt(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt. Times are milliseconds from its start."""
    return {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "reason": attempt.reason,
        "excerpt": attempt.excerpt,
        "peer": show_peer(attempt.peer),
        "timings_ms": {
            "dns": attempt.dns_ms,
            "connect": attempt.connect_ms,
            "tls": attempt.tls_ms,
            "first_byte": attempt.first_byte_ms,
            "total": attempt.total_ms,
        },
    }
