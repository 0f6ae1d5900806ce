"""Heartbeat: sends a marked event on a schedule, the same way as every alert, so that a fault shows early."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.intake.notify import notify
from eventsinks.limits.isolation import do_each
from eventsinks.models import Destination
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.destination import DestinationState


def send_heartbeats() -> int:
    """Accept a heartbeat test for every sink that is due for one. Return how many."""
    asked = Destination.objects.present().sinks().filter(drill_interval_s__isnull=False)
    active = asked.filter(state=DestinationState.ACTIVE).select_related("tenant")
    now = read_database_clock()
    return do_each(filter(lambda sink: is_due(sink, now), active), send_heartbeat)


def is_due(sink: Destination, now: datetime) -> bool:
    """Return whether the sink's last test is at least one interval ago."""
    interval = timedelta(seconds=sink.drill_interval_s or 0)
    return sink.drilled_at is None or sink.drilled_at + interval <= now


def send_heartbeat(sink: Destination) -> bool:
    """Accept one test, unless another process has just done so."""
    interval = timedelta(seconds=sink.drill_interval_s or 0)
    due = Q(drilled_at=None) | Q(drilled_at__lte=Now() - interval)
    same = Destination.objects.present().filter(due, id=sink.id, drill_interval_s=sink.drill_interval_s)
    with transaction.atomic():
        free = same.select_for_update(skip_locked=True, no_key=True).values_list("id")
        if not free or not same.update(drilled_at=Now()):
            return False
        at = read_database_clock()
        notify(
            sink,
            f"drill-{sink.uuid}-{int(at.timestamp())}",
            "drill",
            f"[DRILL] {sink.name}: this is a fire drill",
            "Nothing has happened. If you can read this, alerts reach you here.",
        )
    return True
