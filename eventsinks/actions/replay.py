"""Replay: give deliveries that ended a fresh set of tries."""

from __future__ import annotations

from django.db import transaction

from eventsinks.actions.nudge import STREAMS, nudge
from eventsinks.models.delivery.row import DeliveryQuerySet


def replay(deliveries: DeliveryQuerySet) -> int:
    """failed or delivered -> pending; what waits for a later try is due now. Return how many moved."""
    with transaction.atomic():
        moved = deliveries.replay() + deliveries.bring_forward()
        if moved:
            nudge()
            nudge(STREAMS)
    return moved
