"""Row: the table of deliveries, and the moves that people ask for."""

from __future__ import annotations

import itertools
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from eventsinks.models.destination import Destination
from eventsinks.models.event import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The `due_at` of a delivery that stands behind another: a time that never comes (see line.py).
BEHIND = datetime(9999, 1, 1, tzinfo=UTC)
EXPUNGED = "expunged"  # the reason of deliveries whose event's data was taken away
AT_ONCE = 1000  # lines that a replay puts in order itself; the sweep does the others

DeliveryLine = tuple[int, uuid.UUID]  # the destination and the ordering key of deliveries that are sent one by one


class DeliveryState(models.TextChoices):
    """The state of a delivery."""

    PENDING = "pending", "Pending"  # to be sent when `due_at` comes
    SENDING = "sending", "Sending"  # a worker holds it until `due_at`, its lease
    DELIVERED = "delivered", "Delivered"  # the far end accepted it
    FAILED = "failed", "Failed"  # out of tries, or refused; waits for a replay
    SUPPRESSED = "suppressed", "Suppressed"  # will not be sent; `reason` says why


class Phase(models.IntegerChoices):
    """What a delivery reports of an incident."""

    FIRING = 1
    ACKNOWLEDGED = 2
    RESOLVED = 3


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries: the usual filters, and the moves that people ask for."""

    def replay(self) -> int:
        """Move from failed or delivered to pending, with a fresh set of tries. Return how many moved.

        A delivery of a line stands in it again, behind all others until it is called.
        """
        ended = self.filter(state__in=[DeliveryState.FAILED, DeliveryState.DELIVERED]).not_expunged()
        return ended.update(
            state=DeliveryState.PENDING,
            tries=0,
            replayed=True,
            due_at=Case(When(ordering_key=None, then=Now()), default=Value(BEHIND)),
            lease=None,
            settled_at=None,
            reason="",
        )

    def arrive(self) -> int:
        """Move from failed or pending to delivered, because a replay of the stream has delivered the event.

        Return how many moved.
        """
        waiting = self.filter(state__in=[DeliveryState.FAILED, DeliveryState.PENDING])
        return waiting.update(state=DeliveryState.DELIVERED, settled_at=Now(), reason="", replayed=True)

    def lock_firings(self) -> list[uuid.UUID]:
        """Lock the deliveries of firing incidents that a replay moves. Return their ids."""
        ended = self.filter(state__in=[DeliveryState.FAILED, DeliveryState.DELIVERED])
        firings = ended.filter(incident__isnull=False, phase=Phase.FIRING).order_by("id")
        return list(firings.select_for_update(of=("self",), no_key=True).values_list("id", flat=True))

    def lines(self) -> list[DeliveryLine]:
        """Return the lines that they are of, each once, AT_ONCE at most."""
        keyed = self.exclude(ordering_key=None).order_by()
        return [
            (id, key)
            for id, key in keyed.values_list("destination_id", "ordering_key").distinct()[:AT_ONCE]
            if key is not None
        ]

    def behind(self) -> Self:
        """Keep those that wait for an earlier delivery of their line."""
        return self.filter(state=DeliveryState.PENDING, ordering_key__isnull=False, due_at__gte=BEHIND)

    def skip(self, reason: str) -> int:
        """Move from pending or failed to suppressed, so that those behind can go. Return how many moved."""
        left = self.filter(state__in=[DeliveryState.PENDING, DeliveryState.FAILED])
        return left.update(state=DeliveryState.SUPPRESSED, lease=None, settled_at=Now(), reason=reason)

    def stop(self, reason: str) -> int:
        """Move from pending, sending or failed to suppressed. Return how many moved. Workers lose their leases."""
        left = self.filter(state__in=[DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.FAILED])
        return left.update(state=DeliveryState.SUPPRESSED, lease=None, settled_at=Now(), reason=reason)

    def not_expunged(self) -> Self:
        """Keep those whose event has its data still. Few events are expunged, so they are read first."""
        return self.exclude(event_id__in=Event.objects.filter(expunged_at__isnull=False).order_by().values("id"))

    def suppress(self, reason: str) -> int:
        """Move from pending to suppressed. Return how many moved."""
        pending = self.filter(state=DeliveryState.PENDING)
        return pending.update(state=DeliveryState.SUPPRESSED, lease=None, settled_at=Now(), reason=reason)

    def suppress_lost(self, reason: str) -> int:
        """Move from sending to suppressed if the lease ran out: no other try follows. Return how many moved."""
        lost = self.filter(state=DeliveryState.SENDING, due_at__lte=Now())
        return lost.update(state=DeliveryState.SUPPRESSED, lease=None, settled_at=Now(), reason=reason)

    def bring_forward(self) -> int:
        """Make deliveries that wait for a later try due now, except those behind others. Return how many moved."""
        waiting = self.filter(state=DeliveryState.PENDING, due_at__gt=Now(), due_at__lt=BEHIND)
        return waiting.update(due_at=Now())

    def of_tenant(self, tenant_id: uuid.UUID) -> Self:
        """Keep those of one tenant."""
        return self.filter(destination__tenant_id=tenant_id)


class Delivery(models.Model):
    """One event owed to one sink. Its id is the `webhook-id`, the same in every try."""

    id = models.UUIDField(primary_key=True)  # version 7: in order of time
    # No constraints on these two: each would cost a look-up for each row, and neither row is deleted while owed.
    event = models.ForeignKey(
        Event, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    destination = models.ForeignKey(
        Destination,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="deliveries",
    )
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)  # rises at claim, so that killing its worker counts
    due_at = models.DateTimeField(db_default=Now())  # not before
    lease = models.UUIDField(null=True)  # the proof of the worker that holds it
    status = models.PositiveSmallIntegerField(null=True)  # of the last response
    reason = models.TextField(blank=True)  # why the last try did not deliver, or why it is suppressed
    # The delivery for which this one is the fallback.
    fallback_of = models.UUIDField(null=True)
    fell_back = models.BooleanField(db_default=False)  # whether this delivery has a fallback delivery
    settled_at = models.DateTimeField(null=True)  # when it reached a state that only a person can change
    ordering_key = models.UUIDField(null=True)  # a hash: a sink gets deliveries with the same key one by one
    replayed = models.BooleanField(db_default=False)  # whether somebody asked to send it again
    incident = models.UUIDField(null=True)  # a hash of its incident; `phase` says what it reports of it
    phase = models.PositiveSmallIntegerField(choices=Phase.choices, null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event", "destination"], name="delivery_once_per_sink"),
            models.CheckConstraint(
                condition=Q(state="sending", lease__isnull=False) | (~Q(state="sending") & Q(lease__isnull=True)),
                name="delivery_lease_while_sending",
            ),
            # At most one delivery of a line is under way.
            models.UniqueConstraint(
                fields=["destination", "ordering_key"],
                condition=Q(ordering_key__isnull=False, state__in=["pending", "sending"], due_at__lt=BEHIND),
                name="delivery_first_in_line",
            ),
        ]
        indexes: ClassVar = [
            # The only index of the engine: open deliveries by sink and number of tries, in the order of due_at.
            models.Index(
                fields=["destination", "tries", "due_at"],
                condition=Q(state__in=["pending", "sending"]),
                name="delivery_open",
            ),
            models.Index(fields=["destination", "id"], name="delivery_of_destination"),
            models.Index(
                fields=["destination", "fell_back", "id"], condition=Q(state="failed"), name="delivery_failed"
            ),
            # Lines, in the order of acceptance. Deliveries without an ordering key are in none of these.
            models.Index(
                fields=["destination", "ordering_key", "event"],
                condition=Q(ordering_key__isnull=False, state__in=["pending", "sending"]),
                name="delivery_in_line",
            ),
            models.Index(
                fields=["destination", "ordering_key", "event"],
                condition=Q(ordering_key__isnull=False, state="failed"),
                name="delivery_failed_in_line",
            ),
            models.Index(
                fields=["destination", "id"],
                condition=Q(ordering_key__isnull=False, state="pending", due_at__gte=BEHIND),
                name="delivery_behind",
            ),
            models.Index(
                fields=["incident", "destination", "phase", "event"],
                condition=Q(incident__isnull=False),
                name="delivery_of_incident",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.get_state_display()})"

    @property
    def is_behind(self) -> bool:
        """Whether it waits for an earlier delivery of its line."""
        return self.state == DeliveryState.PENDING and self.due_at >= BEHIND

    @property
    def created_at(self) -> datetime:
        """When it was created, to the millisecond; its id contains the time (RFC 9562 section 5.7)."""
        return datetime.fromtimestamp((self.id.int >> 80) / 1000, UTC)


OPEN = "state IN ('pending', 'sending')"  # exactly the condition of the index delivery_open


def find_open_deliveries(destination_id: int) -> DeliveryQuerySet:
    """Return the open deliveries of a sink, using the engine's own index."""
    is_open = RawSQL(OPEN, [], output_field=models.BooleanField())
    return Delivery.objects.filter(is_open, destination_id=destination_id)


_made = itertools.count()


def make_id(at: datetime) -> uuid.UUID:
    """Return the id of a delivery created at `at`, by the database's clock: UUID version 7 (RFC 9562 section 5.7).

    After the milliseconds come their fractions, then a rising number, so that ids are in the order of creation; 42
    bits are random.
    """
    since_1970 = (at - EPOCH) // timedelta(microseconds=1)
    milliseconds, microseconds = divmod(since_1970, 1000)
    tail = (next(_made) & 0xF_FFFF) << 42 | secrets.randbits(42)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | (microseconds * 4096 // 1000) << 64 | 2 << 62 | tail)


def make_least_id(at: datetime) -> uuid.UUID:
    """Return the least id that a delivery created at `at` can have (RFC 9562 section 5.7)."""
    return uuid.UUID(int=max(int(at.timestamp() * 1000), 0) << 80)  # ids can't express a time before 1970
