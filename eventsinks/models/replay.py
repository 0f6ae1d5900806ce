"""Replays: jobs that give a stretch of a destination's deliveries a fresh set of tries, step by step.

An integration has deliveries too: those of events that left its stream.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from eventsinks.models.delivery import Delivery, DeliveryState, make_least_id
from eventsinks.models.delivery.row import DeliveryQuerySet
from eventsinks.models.delivery.walk import find_end_of_stretch
from eventsinks.models.destination import Destination
from eventsinks.models.tenant import Tenant

REPLAYABLE = (DeliveryState.FAILED, DeliveryState.DELIVERED)


class ReplayState(models.TextChoices):
    """The state of a replay."""

    RUNNING = "running", "Running"  # the sweep does it step by step
    DONE = "done", "Done"  # nothing is left to do
    CANCELLED = "cancelled", "Cancelled"  # somebody cancelled it, or its event sink was deleted


class ReplayQuerySet(models.QuerySet["Replay"]):
    """Replays: the usual filters, and their moves."""

    def of(self, tenant: Tenant) -> Self:
        """Keep those of one tenant. Every API query starts here."""
        return self.filter(tenant=tenant)

    def running(self) -> Self:
        """Keep those that have not ended."""
        return self.filter(state=ReplayState.RUNNING)

    def due(self) -> Self:
        """Keep those whose rate allows more now."""
        return self.filter(Q(next_at=None) | Q(next_at__lte=Now()))

    def end(self, state: ReplayState) -> int:
        """Move from running to done or cancelled. Return how many moved."""
        return self.running().update(state=state, ended_at=Now())


class Replay(models.Model):
    """One job. Its deliveries are fixed at the start: only those that had ended by then.

    A replayed delivery ends after that, if at all, so none is replayed twice.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # version 7: in order of time
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="replays", db_index=False)
    destination = models.ForeignKey(
        Destination,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="replays",
        verbose_name="destination",
    )
    since = models.DateTimeField()  # creation time of its deliveries; both ends included
    until = models.DateTimeField()
    states = models.JSONField()  # the states of its deliveries, from REPLAYABLE
    status_class = models.PositiveSmallIntegerField(null=True)  # of the last answer: 5 for 5xx, 0 for no answer
    reason = models.CharField(max_length=1000, blank=True, db_default="")  # a part of the failure's reason
    event_type = models.CharField(max_length=32, blank=True, db_default="")  # the key of the type of their events
    rate_per_s = models.FloatField(null=True)  # deliveries a second, at most
    next_at = models.DateTimeField(null=True)  # the rate allows no more before then
    counted = models.PositiveIntegerField(default=0)  # their number at the start: it replays no more than these
    replayed = models.PositiveIntegerField(default=0)  # how many it has replayed
    counted_to = models.UUIDField(null=True)  # counted up to here by now; None: completely
    cursor = models.UUIDField(null=True)  # the last delivery that it has reached
    state = models.CharField(max_length=16, choices=ReplayState.choices, default=ReplayState.RUNNING)
    asked_by = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = ReplayQuerySet.as_manager()

    class Meta:
        verbose_name = "replay"
        verbose_name_plural = "replays"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["destination"], condition=Q(state="running"), name="replay_running_once_per_sink"
            ),
            models.CheckConstraint(condition=Q(replayed__lte=F("counted")), name="replay_within_what_was_counted"),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "id"], name="replay_of_tenant")]

    def __str__(self) -> str:
        return f"{self.id} ({self.get_state_display()})"

    def still_ended(self) -> DeliveryQuerySet:
        """Return the deliveries of its destination that ended before it was created. This guards its moves.

        It joins no other table: PostgreSQL checks a condition on a join only once, before it waits for a lock.
        """
        return Delivery.objects.filter(
            destination_id=self.destination_id, state__in=self.states, settled_at__lte=self.created_at
        )

    def its(self) -> DeliveryQuerySet:
        """Return the deliveries to replay: those that match, and had ended when it was created."""
        found = (
            self.still_ended()
            .not_expunged()
            .filter(id__gte=make_least_id(self.since), id__lt=make_id_after(self.until))
        )
        if self.status_class is not None:
            first = self.status_class * 100
            found = found.filter(status__gte=first, status__lt=first + 100) if first else found.filter(status=None)
        if self.reason:
            found = found.filter(reason__icontains=self.reason)
        return found.filter(event__type=self.event_type) if self.event_type else found

    def outcome(self, most: int) -> dict[str, int]:
        """Return how many of the last `most` replayed deliveries are delivered, failed again or open."""
        done = Delivery.objects.filter(
            destination_id=self.destination_id,
            id__gte=make_least_id(self.since),
            id__lte=self.cursor or make_least_id(self.since),
            replayed=True,
        ).exclude(settled_at__lte=self.created_at)
        states = Counter(done.order_by("-id").values_list("state", flat=True)[:most])
        return {
            "delivered": states[DeliveryState.DELIVERED],
            "failed": states[DeliveryState.FAILED],
            "open": states[DeliveryState.PENDING] + states[DeliveryState.SENDING],
        }

    def stretch(self, after: UUID | None, number: int) -> tuple[DeliveryQuerySet, UUID | None]:
        """Return its deliveries among the sink's next `number` after `after`, and the id of the last of these.

        `after` is None at the start. The id is None if no more follow.
        """
        after = after or UUID(int=max(make_least_id(self.since).int - 1, 0))
        end = find_end_of_stretch(self.destination_id, after, make_id_after(self.until), number)
        found = self.its().filter(id__gt=after)
        return (found.filter(id__lte=end) if end else found), end


def make_id_after(until: datetime) -> UUID:
    """Return the least id of a delivery created after `until`."""
    return UUID(int=make_least_id(until).int + (1 << 80))
