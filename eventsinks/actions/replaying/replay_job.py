"""Replay job: gives a stretch of a destination's deliveries a fresh set of tries, step by step, in the sweep.

For an integration, these are the events that left its stream and were given up. A step is one short transaction:
the cursor, the progress and the deliveries move together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.actions.errors import FieldError, NotConfigurable
from eventsinks.actions.replaying.kept import check_kept
from eventsinks.actions.replaying.replay import replay_in_order
from eventsinks.event_types.documents import write_time
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.intake.nudge import STREAMS, nudge
from eventsinks.limits.quotas import hold_room, take_rate
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Delivery, Destination, Replay
from eventsinks.models.database.clock import PRECISION, read_database_clock
from eventsinks.models.delivery import DeliveryState
from eventsinks.models.replay import REPLAYABLE, ReplayState

STARTED, FINISHED, CANCELLED = "replay.create", "replay.finish", "replay.cancel"
# Open deliveries of a sink after a step, at most: a new delivery waits behind no more than these.
MOST_OPEN = 500
COUNTED = 50_000  # deliveries that one request, or one step, reads to count
LOOKED_AT = 20_000  # deliveries that one step reads to replay some of them
MOST_OPEN_AT_A_RATE_KEY = 10  # if the sink accepts one message a second


CATCH_UP = timedelta(seconds=2)  # of a late sweep that a rate makes up for
SHOWN = 10  # deliveries that a preview shows


class ReplayUnderWay(Exception):
    """Another replay of this destination has not ended yet."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination.name)
        self.destination = destination


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries to replay: those created from `since` to `until` (default: now) and in one of `states`.

    `status_class` is that of the last answer: 5 for 5xx, 0 for none. `reason` is a part of the failure's reason;
    `event_type` is the key of the event's type.
    """

    since: datetime
    until: datetime | None = None
    states: Sequence[str] = (DeliveryState.FAILED,)
    status_class: int | None = None
    reason: str = ""
    event_type: str = ""


class ReplayPreview(NamedTuple):
    """What a replay would replay now: how many, whether more were not counted, and the newest of them."""

    deliveries: int
    capped: bool
    sample: Sequence[Delivery]


def start_replays(
    destinations: Sequence[Destination],
    selection: Selection,
    rate_per_s: float | None = None,
    initiator: Initiator = SYSTEM,
) -> list[Replay]:
    """Create a job for each destination, all or none, and count its deliveries.

    If a stretch is long, the sweep counts the rest. Raises NotConfigurable, ReplayUnderWay and LimitReached.
    """
    jobs = [make_job(destination, selection) for destination in destinations]
    if not jobs:
        return []
    tenant = jobs[0].tenant
    take_rate(tenant, "replays_per_h")
    with transaction.atomic():
        hold_room(tenant, "replays_at_once")  # one place for one request, whatever its number of destinations
        for made in jobs:
            made.rate_per_s = rate_per_s
            made.asked_by = initiator.email or initiator.name or initiator.id
            write_job(made, initiator)
    return jobs


def write_job(made: Replay, initiator: Initiator) -> None:
    """Write a job and its first count. Raises ReplayUnderWay."""
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise ReplayUnderWay(made.destination) from None
    made.refresh_from_db(fields=["created_at"])
    stretch, made.counted_to = made.stretch(None, COUNTED)
    made.counted = stretch.count()
    made.save(update_fields=["counted", "counted_to"])
    record_replay(STARTED, made, initiator)


def make_job(destination: Destination, selection: Selection) -> Replay:
    """Return the job for a selection, without saving it. Raises NotConfigurable, and NotKept."""
    until, states = check_selection(selection.since, selection.until, selection.states)
    check_kept(destination.tenant, until)
    return Replay(
        tenant=destination.tenant,
        destination=destination,
        since=selection.since,
        until=until,
        states=states,
        status_class=selection.status_class,
        reason=selection.reason,
        event_type=selection.event_type,
    )


def preview_replay(destination: Destination, selection: Selection) -> ReplayPreview:
    """Return what such a replay would replay now. Raises NotConfigurable."""
    asked = make_job(destination, selection)
    asked.created_at = Now()
    stretch, end = asked.stretch(None, COUNTED)
    shown = stretch.select_related("event", "destination").order_by("-id")[:SHOWN]
    return ReplayPreview(stretch.count(), end is not None, list(shown))


def check_selection(since: datetime, until: datetime | None, states: Sequence[str]) -> tuple[datetime, list[str]]:
    """Return the end of the stretch, now at the latest, and the states without repeats. Raises NotConfigurable."""
    now = read_database_clock()
    if since > now + PRECISION:
        raise NotConfigurable(FieldError("since", "must not be in the future"))
    if until is not None and until < since:
        raise NotConfigurable(FieldError("until", "must not be before since"))
    if not states or not set(states) <= set(REPLAYABLE):
        raise NotConfigurable(FieldError("states", f"must be some of {', '.join(REPLAYABLE)}"))
    return min(until or now, now), sorted({str(state) for state in states})


def cancel_replay(replay: Replay, initiator: Initiator = SYSTEM) -> bool:
    """Cancel a replay; deliveries that it has replayed stay so. Return False if it had ended already."""
    return end_replay(replay, ReplayState.CANCELLED, CANCELLED, initiator)


def work_off_replays() -> int:
    """Do one step of every running replay. Return how many deliveries were replayed."""
    running = Replay.objects.running().due().select_related("destination", "tenant")
    return do_in_turns(
        [(replay.tenant_id, replay) for replay in running], lambda replay: (replay_step(replay), False)
    )


def count_next_stretch(replay: Replay) -> None:
    """Count the next stretch of a replay, which starts once all is counted. Of two runs at a time, one counts."""
    stretch, end = replay.stretch(replay.counted_to, COUNTED)
    here = Replay.objects.running().filter(id=replay.id, counted_to=replay.counted_to)
    here.update(counted=F("counted") + stretch.count(), counted_to=end)


def replay_step(replay: Replay) -> int:
    """Replay as many of the next deliveries as the sink has room for. Return how many.

    Of two runs at the same time, one finds the cursor where it was read; the other moves nothing.
    """
    sink = replay.destination
    if sink.deleted_at is not None:
        cancel_replay(replay)
        return 0
    if replay.counted_to is not None:
        count_next_stretch(replay)
        return 0
    room = min(count_room(sink), count_at_a_time(replay))
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
            end_replay(replay, ReplayState.DONE, FINISHED)
            return 0
        here = Replay.objects.running().filter(id=replay.id, cursor=replay.cursor)
        if not here.update(cursor=ids[-1] if ids else stretch_end, **plan_next_step(replay, len(ids))):
            return 0
        moved = replay_in_order(replay.still_ended().filter(id__in=ids))
        Replay.objects.filter(id=replay.id).update(replayed=F("replayed") + moved)
        nudge()
        nudge(STREAMS)
    return moved


def count_at_a_time(replay: Replay) -> int:
    """Return how many deliveries one step may replay by the requested rate: one second's worth."""
    return MOST_OPEN if replay.rate_per_s is None else max(int(replay.rate_per_s), 1)


def plan_next_step(replay: Replay, number: int) -> dict[str, Any]:
    """Return the columns that make a replay with a rate wait after a step of `number` deliveries."""
    if not replay.rate_per_s or not number:
        return {}
    now = read_database_clock()
    began = max(replay.next_at or now, now - CATCH_UP)  # after a late step, the next one comes sooner
    return {"next_at": began + timedelta(seconds=number / replay.rate_per_s)}


def count_room(sink: Destination) -> int:
    """Return how many deliveries a step may open at a sink. Count no further than necessary."""
    most = MOST_OPEN_AT_A_RATE_KEY if sink.rate_key else MOST_OPEN
    waiting = Delivery.objects.filter(
        destination_id=sink.id, state__in=[DeliveryState.PENDING, DeliveryState.SENDING]
    )
    return most - waiting.order_by()[:most].count()


def end_replay(replay: Replay, state: ReplayState, activity_code: str, initiator: Initiator = SYSTEM) -> bool:
    """Move from running to done or cancelled, and inform the tenant. Return False if it had ended already."""
    with transaction.atomic():
        if not Replay.objects.filter(id=replay.id).end(state):
            return False
        record_replay(
            activity_code, Replay.objects.select_related("destination", "tenant").get(id=replay.id), initiator
        )
    return True


def record_replay(activity_code: str, replay: Replay, initiator: Initiator) -> None:
    """Record a replay in the tenant's audit log."""
    wanted = {"status_class": replay.status_class, "reason": replay.reason, "event_type": replay.event_type}
    destination = replay.destination
    is_sink = destination.kind.face == "event_sink"
    meta = {
        **({"event_sink_id": str(destination.uuid)} if is_sink else {"integration_id": str(destination.id)}),
        "name": replay.destination.name,
        "since": write_time(replay.since),
        "until": write_time(replay.until),
        "states": " ".join(replay.states),
        "deliveries": str(replay.counted),
        "replayed": str(replay.replayed),
        **{name: str(value) for name, value in wanted.items() if value not in (None, "")},
    }
    audit.record_change(replay.tenant, activity_code, f"replay:{replay.id}", meta, initiator)
