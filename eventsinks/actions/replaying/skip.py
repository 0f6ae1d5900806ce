"""Skip: suppresses deliveries that are no longer to be sent, so that the ones behind them can go."""

from __future__ import annotations

from django.db import transaction

from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.intake.nudge import nudge
from eventsinks.models import Destination
from eventsinks.models.delivery import call_next
from eventsinks.models.delivery.row import DeliveryQuerySet


def skip_deliveries(deliveries: DeliveryQuerySet, initiator: Initiator = SYSTEM) -> int:
    """Move from pending or failed to suppressed. Return how many moved. Deliveries that are being sent stay."""
    moved = 0
    reason = f"skipped by {initiator.email or initiator.name or initiator.id}"
    with transaction.atomic():
        whose = deliveries.order_by().values("destination_id")
        for destination in Destination.objects.filter(id__in=whose).select_related("tenant"):
            its = deliveries.filter(destination=destination)
            lines = its.lines()
            count = its.skip(reason)
            if count:
                audit.record_destination(audit.UPDATED, destination, initiator, {"skipped": str(count)})
            call_next(lines)
            moved += count
        if moved:
            nudge()
    return moved
