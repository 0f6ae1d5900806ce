"""How the sinks of one page are doing, at a cost that the size of their backlogs does not raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.models.delivery import find_open_deliveries

SEEN = 1000  # open deliveries of a sink that are looked at; of more, the page says "1,000+"
RECENT = 20  # newest deliveries of a sink that are looked at


@dataclass(frozen=True, slots=True)
class SinkHealth:
    """What a list shows of one sink. `waiting` is at most SEEN + 1; `recent` are states, newest first."""

    waiting: int
    oldest: datetime | None
    last_attempt: Attempt | None
    recent: Sequence[str]

    @property
    def waiting_text(self) -> str:
        """How many are waiting, in digits."""
        return f"{self.waiting:,}" if self.waiting <= SEEN else f"{SEEN:,}+"


def measure_health(sink_id: int) -> SinkHealth:
    """Look at one sink: what is open, what was tried last, how the newest deliveries went."""
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
    """Return when its last fire drill was, None before the first: `drilled_at` is set with the interval, too."""
    if not sink.drill_interval_s or sink.drilled_at is None:
        return None
    second = int(sink.drilled_at.timestamp())
    keys = [f"drill-{sink.uuid}-{at}" for at in (second - 1, second, second + 1)]
    drilled = Event.objects.filter(tenant_id=sink.tenant_id, type="notice", key__in=keys)
    return sink.drilled_at if drilled.exists() else None


def find_next_drill(sink: Destination) -> datetime | None:
    """Return when its next fire drill is due."""
    if not sink.drill_interval_s or sink.drilled_at is None:
        return None
    return sink.drilled_at + timedelta(seconds=sink.drill_interval_s)


def find_most_tried(sink_id: int) -> list[UUID]:
    """Return some of the open deliveries with the most tries: the oldest of a long backlog are among them."""
    tries = find_open_deliveries(sink_id).order_by("-tries").values_list("tries", flat=True).first()
    lane = find_open_deliveries(sink_id).filter(tries=tries or 0).order_by("due_at")
    return list(lane.values_list("id", flat=True)[:RECENT])


def read_created_at(id: UUID) -> datetime:
    """Return when a delivery came to be: its id says it (RFC 9562 section 5.7)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
