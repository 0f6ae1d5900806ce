"""Fall back: sends to the fallback sink as well what its own sink could not get.

A delivery that has failed so often, has waited so long, or waits for a parked sink gets a second delivery at the
fallback sink, marked with the name of the first sink. The first delivery is still tried. A fallback delivery never
falls back again, so there are no loops.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from eventsinks.intake import backlog
from eventsinks.intake.line_up import stand_behind
from eventsinks.intake.nudge import nudge
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Delivery, Destination, Event, counting
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import (
    ENDS,
    DeliveryState,
    Phase,
    find_ends_after,
    lock_lines,
    make_id,
    make_least_id,
    put_in_order,
)
from eventsinks.models.destination import DestinationState

AT_ONCE = 500  # deliveries of one transaction


def fall_back_everywhere() -> int:
    """Look at every sink with a fallback, one batch of each tenant in turn. Return how many fallbacks it made."""
    sinks = Destination.objects.present().filter(fallback__isnull=False, fallback__deleted_at=None)
    return do_in_turns([(sink.tenant_id, sink) for sink in sinks.select_related("tenant")], fall_back_sink)


def fall_back_sink(sink: Destination) -> tuple[int, bool]:
    """Send the next due deliveries of one sink to its fallback, if the fallback has room.

    Return how many deliveries it got, and whether there are more.
    """
    if not backlog.has_room(sink.tenant, sink.fallback_id or 0):
        return 0, False
    found, made = fall_back_some(sink)
    return made, found == AT_ONCE


def fall_back_some(sink: Destination) -> tuple[int, int]:
    """Make at most AT_ONCE fallbacks. Return how many deliveries were taken, and how many fallbacks were made.

    Two runs at the same time take different deliveries. If the fallback sink has the event already, it does not
    get it again. Deliveries and events that another process has locked wait for the next time.
    """
    with transaction.atomic():
        due = Delivery.objects.filter(make_due_condition(sink), destination_id=sink.id)
        in_order = due.order_by("id")  # earlier deliveries of a line first
        found = list(in_order.select_for_update(skip_locked=True, of=("self",))[:AT_ONCE])
        events = Event.objects.filter(id__in=[one.event_id for one in found]).order_by("id")
        free = set(events.select_for_update(no_key=True, skip_locked=True).values_list("id", flat=True))
        found = sorted((one for one in found if one.event_id in free), key=lambda one: one.event_id)
        found = add_ends(sink, found)
        Delivery.objects.filter(id__in=[one.id for one in found]).update(fell_back=True)
        at, there = read_database_clock(), sink.fallback_id or 0
        rows = [
            Delivery(id=make_id(at), event_id=one.event_id, destination_id=there, fallback_of=one.id)
            for one in found
        ]
        stand_behind(rows)
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
        put_in_order(Delivery.objects.filter(id__in=[row.id for row in rows]).lines())
        made = list(Delivery.objects.filter(id__in=[row.id for row in rows]).values_list("event_id", "id"))
        Event.objects.filter(id__in=[event_id for event_id, _ in made]).update(owed=F("owed") + 1)
        counting.add(counting.tally_new((sink.tenant_id, there, id, DeliveryState.PENDING) for _, id in made))
        if made:
            nudge()
    return len(found), len(made)


def add_ends(sink: Destination, found: list[Delivery]) -> list[Delivery]:
    """Return `found` with the later deliveries that report the progress and the end of its firing incidents.

    This locks the incidents. Ends that are accepted later go to the fallback anyway, because it got the beginning.
    """
    firings = [one for one in found if one.phase == Phase.FIRING and one.incident]
    if not firings:
        return found
    lock_lines([(sink.tenant_id, one.incident) for one in firings if one.incident])
    ends = Delivery.objects.filter(id__in=find_ends_after([one.id for one in firings]))
    return sorted({one.id: one for one in [*found, *ends]}.values(), key=lambda one: one.event_id)


def make_due_condition(sink: Destination) -> Q:
    """Return the condition for a delivery of `sink` to fall back."""
    failures, parked = sink.fallback_after_failures, sink.state == DestinationState.PARKED
    failed = Q(state=DeliveryState.FAILED)
    pending = Q(state=DeliveryState.PENDING)
    often = (pending & Q(tries__gte=failures)) | Q(state=DeliveryState.SENDING, tries__gt=failures)
    long = Q(id__lt=make_least_id(read_database_clock() - timedelta(seconds=sink.fallback_after_s)))
    still = Q(state__in=[DeliveryState.PENDING, DeliveryState.SENDING]) & long
    found = failed | often | still | pending if parked else failed | often | still
    if sink.state in (DestinationState.PAUSED, DestinationState.RESUMING):  # a person stopped the others
        found = failed
    begun = Delivery.objects.filter(
        incident=OuterRef("incident"),
        destination_id=OuterRef("destination_id"),
        phase=Phase.FIRING,
        event_id__lt=OuterRef("event_id"),
    )  # the fallback gets the end together with the beginning
    comes_with_it = Q(Exists(begun), phase__in=ENDS)
    return found & Q(fell_back=False, fallback_of=None) & ~comes_with_it
