"""Tidy: put right what no worker will come back for."""

from __future__ import annotations

from eventsinks.actions.judge import max_tries
from eventsinks.models import Delivery, Destination, Incident
from eventsinks.models.delivery import give_up_lost

DELETED = "the event sink was deleted"


def tidy() -> int:
    """Fail what lost its worker on the last try; suppress what is owed to a deleted sink. Return how many."""
    Incident.objects.forget_old()
    gone = Destination.objects.exclude(deleted_at=None).values("id")
    owed = Delivery.objects.filter(destination_id__in=gone)
    suppressed = owed.suppress(DELETED) + owed.suppress_lost(DELETED)
    return give_up_lost(max_tries()) + suppressed
