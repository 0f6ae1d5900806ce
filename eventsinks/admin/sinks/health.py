"""The health of the sinks of one page, at a cost that does not grow with their backlogs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.models.delivery import find_open_deliveries

SEEN = 1000  # open deliveries of a sink that are counted; if there are more, the page says "1,000+"
RECENT = 20  # newest deliveries of a sink that are read


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """The health of one sink, for a list. `waiting` is at most SEEN + 1. `recent` are states, newest first."""

    waiting: int
    oldest: datetime | None
    last_attempt: Attempt | None
    recent: Sequence[str]

    @property
    def waiting_text(self) -> str:
        """Return the number of waiting deliveries, in digits."""
        return f"{self.waiting:,}" if self.waiting <= SEEN else f"{SEEN:,}+"


def measure_health(sink_id: int) -> SinkHealth:
    """Measure one sink: what is open, what was tried last, and the states of the newest deliveries."""
    first = list(
        find_open_deliveries(sink_id).order_by("tries", "due_at").values_list("id", flat=True)[: SEEN + 1]
    )
    most_tried = find_most_tried(sink_id)
    newest = list(
        Delivery.objects.filter(destination_id=sink_id).order_by("-id").values_list("id", "state")[:RECENT]
    )
    looked_at = {*most_tried, *(id for id, _ in newest)}
    last = Attempt.objects.filter(delivery_id__in=looked_at).order_by("-id").defer("excerpt").first()
    return SinkHealth(
        waiting=len(first),
        oldest=read_created_at(min([*first, *most_tried])) if first else None,
        last_attempt=last,
        recent=[state for _, state in newest],
    )


def find_last_drill(sink: Destination) -> datetime | None:
    """Return the moment of its last fire drill, None before the first.

    `drilled_at` is also set with the interval.
    """
    if not sink.drill_interval_s or sink.drilled_at is None:
        return None
    second = int(sink.drilled_at.timestamp())
    keys = [f"drill-{sink.uuid}-{at}" for at in (second - 1, second, second + 1)]
    drilled = Event.objects.filter(tenant_id=sink.tenant_id, type="notice", key__in=keys)
    return sink.drilled_at if drilled.exists() else None


def find_next_drill(sink: Destination) -> datetime | None:
    """Return the moment when its next fire drill is due."""
    if not sink.drill_interval_s or sink.drilled_at is None:
        return None
    return sink.drilled_at + timedelta(seconds=sink.drill_interval_s)


def find_most_tried(sink_id: int) -> list[UUID]:
    """Return some of the open deliveries with the most tries. In a long backlog, these include the oldest."""
    tries = find_open_deliveries(sink_id).order_by("-tries").values_list("tries", flat=True).first()
    lane = find_open_deliveries(sink_id).filter(tries=tries or 0).order_by("due_at")
    return list(lane.values_list("id", flat=True)[:RECENT])


def read_created_at(id: UUID) -> datetime:
    """Return when a delivery was created: its id contains the time (RFC 9562 section 5.7)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
