"""Replay: gives ended deliveries a fresh set of tries."""

from __future__ import annotations

from django.db import transaction

from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.intake.nudge import STREAMS, nudge
from eventsinks.models import Destination
from eventsinks.models.delivery import owe_ends, put_in_order
from eventsinks.models.delivery.row import DeliveryQuerySet


def replay(deliveries: DeliveryQuerySet, initiator: Initiator = SYSTEM) -> int:
    """Move from failed or delivered to pending, and make waiting deliveries due now. Return how many moved.

    Deliveries of a deleted destination stay as they are: they would only be suppressed.
    """
    moved = 0
    with transaction.atomic():
        whose = deliveries.order_by().values("destination_id")
        for destination in Destination.objects.present().filter(id__in=whose).select_related("tenant"):
            its = deliveries.filter(destination=destination)
            count = replay_in_order(its) + its.bring_forward()
            if count:
                audit.record_destination(audit.UPDATED, destination, initiator, {"replayed": str(count)})
            moved += count
        if moved:
            nudge()
            nudge(STREAMS)
    return moved


def replay_in_order(deliveries: DeliveryQuerySet) -> int:
    """Move from failed or delivered to pending, each at its place in its line. Return how many moved.

    If the end of an incident was suppressed because its firing did not reach the sink, it becomes pending too.
    """
    lines, firings = deliveries.lines(), deliveries.lock_firings()
    moved = deliveries.replay()
    owe_ends(firings)
    put_in_order(lines)
    return moved
