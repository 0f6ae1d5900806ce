"""Line: the log line of one try of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventsinks import telemetry
from eventsinks.destinations.base import SendFailure
from eventsinks.models import Batch, Destination


def write_batch_line(
    destination: Destination,
    batch: Batch,
    members: Sequence[int],
    failures: Mapping[int, SendFailure],
    *,
    status: int | None,
    replayed: bool,
) -> None:
    """Write what came of one try. `members` are the ids of the events that it had; `failures` are by event."""
    first = next(iter(failures.values()), None)
    facts = {
        "level": "warning" if failures else "info",
        "batch": batch.id,
        "number": batch.number,
        "tenant": destination.tenant_id,
        "destination": destination.id,
        "type": destination.type,
        "events": len(members),
        "first_event_id": members[0],
        "last_event_id": members[-1],
        "not_taken": len(failures),
        "replayed": replayed,
        "status": status,
        "reason": first.reason if first else "",
    }
    telemetry.write_line("batch.tried", facts)
