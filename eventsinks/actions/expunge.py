"""Expunge: takes the data of one event away for good. Its row stays, and so does what became of its deliveries."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.event_types.columns import NO_COLUMNS
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.models import Attempt, Delivery, Event, NetworkTraffic, ProxyAccess, QuietWindow
from eventsinks.models.delivery import EXPUNGED, call_next
from eventsinks.models.event import GONE
from eventsinks.models.search.alert_words import AlertWords

EXPUNGE = "event.expunge"
TITLE = "(expunged)"


def expunge_event(event: Event, initiator: Initiator = SYSTEM) -> bool:
    """Take the data of an event away. Return False if it was gone already.

    First nothing more is sent: deliveries that are open or failed are suppressed. A worker that is sending one now
    loses its lease, and keeps nothing of the answer.
    """
    with transaction.atomic():
        same = Event.objects.filter(id=event.id, expunged_at=None)
        if not same.select_for_update(no_key=True).values_list("id"):
            return False
        deliveries = Delivery.objects.filter(event_id=event.id)
        lines = deliveries.lines()
        sinks = list(deliveries.select_for_update(no_key=True).values_list("destination_id", flat=True))
        stopped = deliveries.stop(EXPUNGED)
        same.update(data=GONE, expunged_at=Now(), **NO_COLUMNS._asdict())
        Attempt.objects.filter(delivery__event_id=event.id).update(excerpt="", reason="")
        AlertWords.objects.filter(event_id=event.id).delete()
        NetworkTraffic.objects.filter(event_id=event.id).delete()
        ProxyAccess.objects.filter(event_id=event.id).delete()
        QuietWindow.objects.filter(destination_id__in=sinks, last_event=event.id).update(last_title=TITLE)
        meta = {"event_type": event.type, "deliveries_stopped": str(stopped)}
        audit.record_change(event.tenant, EXPUNGE, f"event:{event.key}", meta, initiator)
    call_next(lines)
    return True
