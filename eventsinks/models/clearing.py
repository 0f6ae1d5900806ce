"""Clearings: jobs that suppress, batch by batch, the deliveries that an event sink will not get.

A request that deletes a sink, or resumes it without its backlog, creates the row. After its commit, none of these
deliveries is sent. The sweep suppresses them.
"""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.models.delivery import Delivery, DeliveryState
from eventsinks.models.delivery.row import DeliveryQuerySet, find_open_deliveries
from eventsinks.models.destination import Destination
from eventsinks.models.tenant import Tenant

SEEN = 1_000  # open deliveries that are read to count what is left


class ClearingQuerySet(models.QuerySet["Clearing"]):
    """Clearings, and the usual filters."""

    def running(self) -> Self:
        """Keep those that have not ended."""
        return self.filter(ended_at=None)

    def runs_at(self, destination_id: int) -> bool:
        """Return whether a sink still has something to clear."""
        return self.running().filter(destination_id=destination_id).exists()


class Clearing(models.Model):
    """One job. Its deliveries are fixed at the start: those pending then; for a deleted sink, all of them."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    destination = models.ForeignKey(
        Destination,
        on_delete=models.CASCADE,
        related_name="clearings",
        db_index=False,
        verbose_name="event sink",
    )
    reason = models.TextField()  # for the suppressed deliveries
    last_event = models.BigIntegerField(null=True)  # the newest event at the start; None: the sink was deleted
    before = models.UUIDField(null=True)  # only deliveries below this id; None: all
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    cursor = models.UUIDField(default=uuid.UUID(int=0))  # the last delivery that it has reached
    suppressed = models.PositiveIntegerField(default=0)  # how many it has suppressed
    ended_at = models.DateTimeField(null=True)

    objects = ClearingQuerySet.as_manager()

    class Meta:
        verbose_name = "clearing"
        verbose_name_plural = "clearings"
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["destination"], condition=Q(ended_at=None), name="clearing_running")
        ]

    def __str__(self) -> str:
        return f"{self.destination_id}: {self.reason}"

    def its(self, deliveries: DeliveryQuerySet) -> DeliveryQuerySet:
        """Keep the deliveries that it is to suppress.

        A first try waits since its `due_at`: a delivery created or replayed after the request is not included. A
        delivery that was tried already was waiting before the request, because no try begins while the job runs.
        """
        pending = Q(state=DeliveryState.PENDING)
        if self.last_event is None:
            return deliveries.filter(pending | Q(state=DeliveryState.SENDING, due_at__lte=Now()))
        waited = Q(tries__gt=0) | Q(due_at__lte=self.asked_at)
        found = deliveries.filter(pending & waited, event_id__lte=self.last_event)
        return found if self.before is None else found.filter(id__lt=self.before)

    def left(self) -> tuple[int, bool]:
        """Return how many of the SEEN longest waiting deliveries it still must suppress, and whether more wait."""
        ids = find_open_deliveries(self.destination_id).order_by("tries", "due_at").values_list("id", flat=True)
        first = list(ids[: SEEN + 1])
        return self.its(Delivery.objects.filter(id__in=first[:SEEN])).count(), len(first) > SEEN
