"""How far an integration is, at a cost that no backlog raises, and trying it out."""

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
from eventsinks.models.stream import look_ahead, newest_until
from eventsinks.models.stream.rows import BatchState
from eventsinks.sending.judge import excerpt_of, outcome_word
from eventsinks.sending.open_sinks import describe_unreadable
from eventsinks.streaming.progress import next_try_at

SEEN = 1000  # events after its position that are looked at; of more, the page says "1,000+"
BATCHES = 20  # newest batches that a page shows


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay under way: when what it has come to, and the last of it, were received; None where that is gone."""

    sent_until: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class IntegrationHealth:
    """What a list shows of one integration. `waiting` is at most SEEN + 1; `failing`: why it tries again."""

    waiting: int
    sent_events: int
    sent_at: datetime | None
    failing: str
    tries: int
    next_try: datetime | None
    replay: Replay | None

    @property
    def waiting_text(self) -> str:
        """How many events are waiting, in digits."""
        return f"{self.waiting:,}" if self.waiting <= SEEN else f"{SEEN:,}+"


def health_of(integration: Integration) -> IntegrationHealth:
    """Look at one integration: what waits, what was sent, what is tried again and when."""
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
        next_try=next_try_at(integration, position, batch) if failing else None,
        replay=replay_of(integration, position),
    )


def replay_of(integration: Integration, position: Position) -> Replay | None:
    """Return the replay that is under way, if one is."""
    if position.replay is None:
        return None
    places = (newest_until(integration.tenant_id, place) for place in (position.replay, position.until))
    return Replay(*(found[1] if found else None for found in places))


def batches_of(integration: Integration) -> Sequence[dict[str, Any]]:
    """Return the newest batches as they are shown."""
    newest = Batch.objects.filter(destination_id=integration.pk).order_by("-number").defer("members")
    return [
        {
            "row": batch,
            "chip": marks.chip(tone_of(batch), BatchState(batch.state).label),
            "made": marks.moment_mark(batch.created_at),
            "settled": marks.moment_mark(batch.settled_at),
        }
        for batch in newest[:BATCHES]
    ]


def tone_of(batch: Batch) -> marks.Tone:
    """Return the colour of a batch's state."""
    if batch.state == BatchState.SENT:
        return "good"
    return "quiet" if batch.state == BatchState.SPLIT else "warning" if batch.reason else "busy"


def tried(integration: Integration, initiator: Initiator) -> TryOut:
    """Send a test message now, and return what came of it. Raises LimitReached.

    That somebody asked for it is on record before.
    """
    audit.record_destination(audit.TESTED, integration, initiator)
    now = datetime.now(UTC)
    try:
        kind = integration.opened()
    except (CannotOpen, ValueError, KeyError) as error:
        return TryOut(now, "gone", describe_unreadable(error))
    try:
        return answered(kind, now, "delivered", "", probe.probe(integration.tenant, kind).response)
    except SendFailure as failure:
        return answered(kind, now, outcome_word(failure), failure.reason, failure.response)


def answered(
    kind: AnyDestinationType, now: datetime, outcome: str, reason: str, response: Response | None
) -> TryOut:
    """Return a try with what the far end answered, if it did over HTTP."""
    if response is None:
        return TryOut(now, outcome, reason)
    return TryOut(
        now,
        outcome,
        reason,
        status=response.status,
        excerpt=excerpt_of(response, kind),
        peer=response.peer,
        timings=response.timings,
    )
