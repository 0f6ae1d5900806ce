"""Replay of a sink: give a stretch of its deliveries a fresh set of tries, as a job that the sweep works off.

A step is one short transaction: the cursor, the progress and the deliveries move together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.actions import audit
from eventsinks.actions.audit import SYSTEM, Initiator
from eventsinks.actions.errors import FieldError, NotConfigurable
from eventsinks.actions.in_turns import in_turns
from eventsinks.actions.limits import hold_room, take
from eventsinks.actions.nudge import nudge
from eventsinks.actions.replay import replay_in_order
from eventsinks.event_types.documents import written
from eventsinks.models import Delivery, Destination, Replay
from eventsinks.models.clock import PRECISION, database_now
from eventsinks.models.delivery import DeliveryState
from eventsinks.models.replay import REPLAYABLE, ReplayState

STARTED, FINISHED, CANCELLED = "replay.create", "replay.finish", "replay.cancel"
# How many open deliveries a sink has at most after a step: what is new waits behind no more than these.
MOST_OPEN = 500
COUNTED = 50_000  # deliveries that one request, or one step, looks at to count
LOOKED_AT = 20_000  # deliveries that one step looks at to replay some of them
MOST_OPEN_AT_A_PLACE = 10  # where one message a second is taken


class UnderWay(Exception):
    """Another replay of this event sink is not at its end yet."""


def start(
    sink: Destination,
    since: datetime,
    until: datetime | None = None,
    states: Sequence[str] = (DeliveryState.FAILED,),
    initiator: Initiator = SYSTEM,
) -> Replay:
    """Make the job, and count what it will replay; of a long stretch, the sweep counts the rest.

    Raises NotConfigurable, UnderWay and LimitReached.
    """
    until, states = checked(since, until, states)
    take(sink.tenant, "replays_per_h")
    with transaction.atomic():
        hold_room(sink.tenant, "replays_at_once")
        made = Replay(tenant=sink.tenant, destination=sink, since=since, until=until, states=states)
        made.asked_by = initiator.email or initiator.name or initiator.id
        try:
            with transaction.atomic():
                made.save(force_insert=True)
        except IntegrityError:
            raise UnderWay from None
        made.refresh_from_db(fields=["created_at"])
        stretch, made.counted_to = made.stretch(None, COUNTED)
        made.counted = stretch.count()
        made.save(update_fields=["counted", "counted_to"])
        record(STARTED, made, initiator)
    return made


def preview(
    sink: Destination,
    since: datetime,
    until: datetime | None = None,
    states: Sequence[str] = (DeliveryState.FAILED,),
) -> tuple[int, bool]:
    """Return how many deliveries such a replay would take now, and whether more were not looked at.

    Raises NotConfigurable.
    """
    until, states = checked(since, until, states)
    asked = Replay(destination=sink, since=since, until=until, states=states, created_at=Now())
    stretch, end = asked.stretch(None, COUNTED)
    return stretch.count(), end is not None


def checked(since: datetime, until: datetime | None, states: Sequence[str]) -> tuple[datetime, list[str]]:
    """Return the end of the stretch, now at the latest, and the states, each once. Raises NotConfigurable."""
    now = database_now()
    if since > now + PRECISION:
        raise NotConfigurable(FieldError("since", "must not be in the future"))
    if until is not None and until < since:
        raise NotConfigurable(FieldError("until", "must not be before since"))
    if not states or not set(states) <= set(REPLAYABLE):
        raise NotConfigurable(FieldError("states", f"must be some of {', '.join(REPLAYABLE)}"))
    return min(until or now, now), sorted({str(state) for state in states})


def cancel(replay: Replay, initiator: Initiator = SYSTEM) -> bool:
    """Call it off; what it has replayed stays. Return False if it had ended already."""
    return end(replay, ReplayState.CANCELLED, CANCELLED, initiator)


def work_off() -> int:
    """Take one step of every running replay. Return how many deliveries were replayed."""
    running = Replay.objects.running().select_related("destination", "tenant")
    return in_turns([(replay.tenant_id, replay) for replay in running], lambda replay: (step(replay), False))


def count_on(replay: Replay) -> None:
    """Count the next stretch of a replay; it begins when all of it is counted. Of two at once, one counts."""
    stretch, end = replay.stretch(replay.counted_to, COUNTED)
    here = Replay.objects.running().filter(id=replay.id, counted_to=replay.counted_to)
    here.update(counted=F("counted") + stretch.count(), counted_to=end)


def step(replay: Replay) -> int:
    """Replay the next deliveries, as many as the sink has room for. Return how many.

    Run by two at once, only one finds the cursor where it was read; the other moves nothing.
    """
    sink = replay.destination
    if sink.deleted_at is not None:
        cancel(replay)
        return 0
    if replay.counted_to is not None:
        count_on(replay)
        return 0
    room = room_of(sink)
    if room <= 0:
        return 0
    with transaction.atomic():
        if not Replay.objects.running().filter(id=replay.id).select_for_update(skip_locked=True):
            return 0
        stretch, stretch_end = replay.stretch(replay.cursor, LOOKED_AT)
        chosen = stretch.order_by("id").values_list("id", flat=True)
        left = replay.counted - replay.replayed
        ids = list(chosen[: min(room, left)])
        if not ids and (stretch_end is None or not left):
            end(replay, ReplayState.DONE, FINISHED)
            return 0
        here = Replay.objects.running().filter(id=replay.id, cursor=replay.cursor)
        if not here.update(cursor=ids[-1] if ids else stretch_end):
            return 0
        moved = replay_in_order(replay.its().filter(id__in=ids))
        Replay.objects.filter(id=replay.id).update(replayed=F("replayed") + moved)
        nudge()
    return moved


def room_of(sink: Destination) -> int:
    """Return how many deliveries a step may open at a sink. Counts no further than it must."""
    most = MOST_OPEN_AT_A_PLACE if sink.place else MOST_OPEN
    waiting = Delivery.objects.filter(
        destination_id=sink.id, state__in=[DeliveryState.PENDING, DeliveryState.SENDING]
    )
    return most - waiting.order_by()[:most].count()


def end(replay: Replay, state: ReplayState, activity_code: str, initiator: Initiator = SYSTEM) -> bool:
    """running -> done or cancelled, and its tenant is told. Return False if it had ended already."""
    with transaction.atomic():
        if not Replay.objects.filter(id=replay.id).end(state):
            return False
        record(activity_code, Replay.objects.select_related("destination", "tenant").get(id=replay.id), initiator)
    return True


def record(activity_code: str, replay: Replay, initiator: Initiator) -> None:
    """Record it in the tenant's audit log."""
    meta = {
        "event_sink_id": str(replay.destination.uuid),
        "name": replay.destination.name,
        "since": written(replay.since),
        "until": written(replay.until),
        "states": " ".join(replay.states),
        "deliveries": str(replay.counted),
        "replayed": str(replay.replayed),
    }
    audit.record(replay.tenant, activity_code, f"replay:{replay.id}", meta, initiator)
