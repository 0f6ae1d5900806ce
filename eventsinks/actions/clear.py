"""Clear: suppresses deliveries that a sink will not get; a small backlog at once, a large one in the sweep.

A step is one short transaction: the cursor, the progress and the deliveries move together or not at all.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.intake.nudge import nudge
from eventsinks.limits.isolation import do_each
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Clearing, Delivery, Destination, Event
from eventsinks.models.delivery import find_open_deliveries, find_sinks_with_open
from eventsinks.models.delivery.walk import LAST, find_end_of_stretch
from eventsinks.models.destination import DestinationState

AT_ONCE = 2_000  # deliveries that one transaction suppresses
LOOKED_AT = 20_000  # deliveries that it reads
DELETED = "the event sink was deleted"
SKIPPED = "skipped when the event sink was resumed"


def clear(sink: Destination, reason: str, before: UUID | None = None) -> int:
    """Suppress all deliveries that are pending at a sink now; with `before`, only those with a lower id.

    Call this inside the transaction that stops workers from sending to the sink. If more than AT_ONCE deliveries
    wait, the sweep suppresses them, and `Clearing.objects.runs_at` says so. Return how many were suppressed at
    once.
    """
    deleted = reason == DELETED
    newest = None if deleted else Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
    waiting = find_open_deliveries(sink.id).select_for_update(
        skip_locked=deleted, no_key=True
    )  # locked ones: next time
    found = list(waiting.values_list("id", flat=True)[: AT_ONCE + 1])
    if len(found) > AT_ONCE:
        Clearing.objects.create(
            tenant_id=sink.tenant_id, destination=sink, reason=reason, last_event=newest, before=before
        )
        return 0
    its = Delivery.objects.filter(id__in=found)
    if before is not None:
        its = its.filter(id__lt=before)
    return its.suppress(reason) + (its.suppress_lost(reason) if deleted else 0)


def clear_deleted() -> int:
    """Clear deliveries that came back, or were accepted, for a deleted sink. Return how many moved at once."""
    ids = find_sinks_with_open()
    running = Clearing.objects.running().values("destination_id")
    gone = Destination.objects.filter(id__in=ids).exclude(deleted_at=None).exclude(id__in=running)
    return do_each(gone, clear_one_deleted)


def clear_one_deleted(sink: Destination) -> int:
    """Clear the deliveries that one deleted sink still has."""
    with transaction.atomic():
        return clear(sink, DELETED)


def work_off_clearings() -> int:
    """Suppress the rest of all clearings, one batch of each tenant in turn. Return how many deliveries moved."""
    running = Clearing.objects.running().values_list("tenant_id", "id")
    moved = do_in_turns(list(running), clear_step)
    finish_resuming()
    return moved


def clear_step(id: int) -> tuple[int, bool]:
    """Do the next batch of one clearing. Return how many moved, and whether there is more.

    Of two runs at the same time, one finds the row locked and skips it.
    """
    with transaction.atomic():
        found = Clearing.objects.running().filter(id=id)
        clearing = found.select_for_update(skip_locked=True, no_key=True).first()
        if clearing is None:
            return 0, False
        end = find_end_of_step(clearing)
        its = Delivery.objects.filter(destination_id=clearing.destination_id, id__gt=clearing.cursor)
        chosen = clearing.its(its.filter(id__lte=end or LAST))
        moved = chosen.suppress(clearing.reason)
        if clearing.last_event is None:
            moved += chosen.suppress_lost(clearing.reason)
        ended = None if end else Now()
        found.update(cursor=end or LAST, suppressed=F("suppressed") + moved, ended_at=ended)
    return moved, end is not None


def find_end_of_step(clearing: Clearing) -> UUID | None:
    """Return the last delivery of the next step. Return None if it is the last step."""
    sink, before = clearing.destination_id, clearing.before or LAST
    looked_at = find_end_of_stretch(sink, clearing.cursor, before, LOOKED_AT)
    its = Delivery.objects.filter(destination_id=sink, id__gt=clearing.cursor, id__lte=looked_at or LAST)
    enough = clearing.its(its).order_by("id").values_list("id", flat=True)[AT_ONCE - 1 : AT_ONCE].first()
    return enough or looked_at


def finish_resuming() -> int:
    """Move from resuming to active if nothing is left to clear. Return how many moved."""
    resuming = Destination.objects.present().filter(state=DestinationState.RESUMING)
    moved = 0
    for id, version in list(resuming.values_list("id", "version")):
        if not Clearing.objects.runs_at(id):
            same = resuming.filter(id=id, version=version)
            moved += same.update(state=DestinationState.ACTIVE, state_since=Now(), version=F("version") + 1)
    if moved:
        nudge()
    return moved
