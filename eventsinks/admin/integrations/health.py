"""The health of an integration, at a cost that does not grow with its backlog, and its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventsinks.actions.trying import probe
from eventsinks.actions.trying.try_out import TryOut
from eventsinks.admin.parts import marks
from eventsinks.destinations.base import AnyDestinationType, SendFailure
from eventsinks.intake import audit
from eventsinks.intake.audit import Initiator
from eventsinks.lib.net.wire import Response
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.models import Batch, Integration, Position
from eventsinks.models.stream import find_newest_until, look_ahead
from eventsinks.models.stream.batch import BatchState
from eventsinks.sending.judge import make_excerpt, name_failure
from eventsinks.sending.open_sinks import describe_unreadable
from eventsinks.streaming.progress import find_next_try

SEEN = 1000  # events after its position that are counted; if there are more, the page says "1,000+"
BATCHES = 20  # newest batches that a page shows


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """A running replay: when its current and its last event were received, None if the event is gone."""

    sent_until: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class IntegrationHealth:
    """The health of one integration, for a list.

    `waiting` is at most SEEN + 1. `failing` is why it tries again.
    """

    waiting: int
    sent_events: int
    sent_at: datetime | None
    failing: str
    tries: int
    next_try: datetime | None
    replay: ReplayProgress | None

    @property
    def waiting_text(self) -> str:
        """Return the number of waiting events, in digits."""
        return f"{self.waiting:,}" if self.waiting <= SEEN else f"{SEEN:,}+"


def measure_health(integration: Integration) -> IntegrationHealth:
    """Measure one integration: what waits, what was sent, and what is tried again and when."""
    position = Position.objects.get(destination_id=integration.pk)
    batch = position.open_batch()
    failing = batch is not None and batch.tries > 0 and bool(batch.reason)
    after = batch.last_place if batch else position.place
    ahead = look_ahead(integration.tenant_id, integration.event_types, after, SEEN + 1)
    held = len(batch.members) if batch else 0
    return IntegrationHealth(
        waiting=min(len(ahead) + held, SEEN + 1),
        sent_events=position.sent_events,
        sent_at=position.sent_at,
        failing=batch.reason if batch and failing else "",
        tries=batch.tries if batch else 0,
        next_try=find_next_try(integration, position, batch) if failing else None,
        replay=find_replay(integration, position),
    )


def find_replay(integration: Integration, position: Position) -> ReplayProgress | None:
    """Return the running replay, if there is one."""
    if position.replay is None:
        return None
    places = (find_newest_until(integration.tenant_id, place) for place in (position.replay, position.until))
    return ReplayProgress(*(found[1] if found else None for found in places))


def list_batches(integration: Integration) -> Sequence[dict[str, Any]]:
    """Return the newest batches, for the page."""
    newest = Batch.objects.filter(destination_id=integration.pk).order_by("-number").defer("members")
    return [
        {
            "row": batch,
            "chip": marks.make_chip(choose_tone(batch), BatchState(batch.state).label),
            "made": marks.mark_moment(batch.created_at),
            "settled": marks.mark_moment(batch.settled_at),
        }
        for batch in newest[:BATCHES]
    ]


def choose_tone(batch: Batch) -> marks.Tone:
    """Return the colour of a batch's state."""
    if batch.state == BatchState.SENT:
        return "good"
    return "quiet" if batch.state == BatchState.SPLIT else "warning" if batch.reason else "busy"


def probe_now(integration: Integration, initiator: Initiator) -> TryOut:
    """Send a test message now, and return the result. Raises LimitReached.

    The audit log names who asked for it before it is sent.
    """
    audit.record_destination(audit.TESTED, integration, initiator)
    now = datetime.now(UTC)
    try:
        kind = integration.opened()
    except (CannotOpen, ValueError, KeyError) as error:
        return TryOut(now, "gone", describe_unreadable(error))
    try:
        return make_try_out(kind, now, "delivered", "", probe.probe_connection(integration.tenant, kind).response)
    except SendFailure as failure:
        return make_try_out(kind, now, name_failure(failure), failure.reason, failure.response)


def make_try_out(
    kind: AnyDestinationType, now: datetime, outcome: str, reason: str, response: Response | None
) -> TryOut:
    """Return a try with the answer of the far end, if it answered over HTTP."""
    if response is None:
        return TryOut(now, outcome, reason)
    return TryOut(
        now,
        outcome,
        reason,
        status=response.status,
        excerpt=make_excerpt(response, kind),
        peer=response.peer,
        timings=response.timings,
    )
