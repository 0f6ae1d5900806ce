"""Tidy: put right what no worker will come back for."""

from __future__ import annotations

from django.db import transaction

from eventsinks.actions.judge import max_tries
from eventsinks.models import Delivery, Destination, Incident
from eventsinks.models.delivery import give_up_lost

AT_ONCE = 5000  # deliveries that are suppressed in one sweep
DELETED = "the event sink was deleted"


def tidy() -> int:
    """Fail what lost its worker on the last try; suppress what is owed to a deleted sink. Return how many.

    What somebody else has locked is left for the next time.
    """
    Incident.objects.forget_old()
    given_up = give_up_lost(max_tries())
    gone = Destination.objects.exclude(deleted_at=None).values("id")
    owed = Delivery.objects.filter(destination_id__in=gone, state__in=["pending", "sending"])
    with transaction.atomic():
        free = owed.select_for_update(skip_locked=True, no_key=True)
        ids = list(free.order_by().values_list("id", flat=True)[:AT_ONCE])
        mine = Delivery.objects.filter(id__in=ids)
        return given_up + mine.suppress(DELETED) + mine.suppress_lost(DELETED)
