"""The tables of streams: one position per integration, and one row per batch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from eventsinks.models import sql
from eventsinks.models.destination import Destination


class Place(NamedTuple):
    """A place in a tenant's event log. Everything up to it is accounted for."""

    xid: int
    event_id: int


class BatchState(models.TextChoices):
    """Where a batch stands."""

    OPEN = "open", "Open"  # its membership is saved; it is being sent, or waits for its next try
    SENT = "sent", "Sent"  # every event of it is accounted for
    SPLIT = "split", "Split"  # too large; its events go on in smaller batches


class Batch(models.Model):
    """The events of one request, saved before it is sent, so that every try sends the same.

    `members` are the ids of the events that are still owed; empty once it is sent. The row stays as the record of
    what went where.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    destination = models.ForeignKey(
        Destination, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    number = models.BigIntegerField()  # counts up by one per integration
    state = models.CharField(max_length=8, choices=BatchState.choices, default=BatchState.OPEN)
    members = models.JSONField(default=list)
    count = models.PositiveIntegerField()
    first_event = models.BigIntegerField()
    last_event = models.BigIntegerField()
    last_xid = models.BigIntegerField()
    tries = models.PositiveIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "batch"
        verbose_name_plural = "batches"
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["destination", "number"], name="batch_number_once"),
            models.UniqueConstraint(
                fields=["destination"], condition=Q(state="open"), name="batch_one_open_per_integration"
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.count}"

    @property
    def last_place(self) -> Place:
        """The place of its last event."""
        return Place(self.last_xid, self.last_event)


class PositionQuerySet(models.QuerySet["Position"]):
    """Positions, and the moves of a stream. Each is one guarded UPDATE that counts its rows."""

    def lease(self, destination_id: int, seconds: float) -> Position | None:
        """Take a due integration for `seconds`. Return its position, None if it is not to be had."""
        lease = uuid.uuid4()
        active = f"""EXISTS (SELECT 1 FROM eventsinks_destination
            WHERE id = destination_id AND state = 'active' AND deleted_at IS NULL
              AND (held_until IS NULL OR held_until <= {sql.now()}))"""
        moved = sql.rows(
            f"""UPDATE eventsinks_position SET lease = %s, due_at = {sql.in_seconds()}
                WHERE destination_id = %s AND due_at <= {sql.now()} AND {active} RETURNING destination_id""",
            [lease if sql.is_postgresql() else lease.hex, seconds, destination_id],
        )
        if not moved:
            return None
        leased = self.select_related("destination__tenant", "destination__slack_workspace")
        return leased.filter(destination_id=destination_id, lease=lease).first()  # None: moved in between

    def held(self, position: Position) -> PositionQuerySet:
        """Keep the row only while the lease is still ours."""
        return self.filter(destination_id=position.destination_id, lease=position.lease)

    def release(self, position: Position, pause: float = 0.0) -> bool:
        """Give the integration back, due again in `pause` seconds."""
        lease = position.lease if sql.is_postgresql() else str(position.lease.hex if position.lease else "")
        return bool(
            sql.rows(
                f"""UPDATE eventsinks_position SET lease = NULL, due_at = {sql.in_seconds()}
                    WHERE destination_id = %s AND lease = %s RETURNING destination_id""",
                [pause, position.destination_id, lease],
            )
        )

    def move(self, destination_id: int, place: Place) -> None:
        """Put an integration somewhere else in the log: backfill, or replay of what was sent before.

        The open batch, if any, is given up; a worker that holds the lease loses it and settles nothing.
        """
        with transaction.atomic():  # the position first, as everybody who writes both: no deadlock, no new batch
            self.filter(destination_id=destination_id).update(
                xid=place.xid, event_id=place.event_id, lease=None, due_at=Now()
            )
            Batch.objects.filter(destination_id=destination_id, state=BatchState.OPEN).update(
                state=BatchState.SPLIT, settled_at=Now(), reason="the position was moved"
            )

    def wake(self, destination_id: int) -> None:
        """End the pause after a failure, if it is in one: somebody has repaired it."""
        self.filter(destination_id=destination_id, lease=None).update(due_at=Now())

    def skip(self, position: Position, place: Place) -> None:
        """Move past what is not for this integration."""
        if place > position.place:
            self.held(position).update(xid=place.xid, event_id=place.event_id)
            position.xid, position.event_id = place


class Position(models.Model):
    """How far an integration has come in its tenant's event log."""

    destination = models.OneToOneField(
        Destination, on_delete=models.CASCADE, primary_key=True, related_name="position"
    )
    xid = models.BigIntegerField(default=0)
    event_id = models.BigIntegerField(default=0)
    next_number = models.BigIntegerField(default=1)  # of the next batch
    lease = models.UUIDField(null=True)
    due_at = models.DateTimeField(db_default=Now())  # not before; while it is leased, the end of the lease
    sent_at = models.DateTimeField(null=True)  # when it last moved forward
    sent_events = models.BigIntegerField(default=0)  # since it was made

    objects = PositionQuerySet.as_manager()

    class Meta:
        verbose_name = "position"
        verbose_name_plural = "positions"

    def __str__(self) -> str:
        return f"{self.destination_id} at {self.event_id}"

    @property
    def place(self) -> Place:
        """The place it stands at."""
        return Place(self.xid, self.event_id)

    def open_batch(self) -> Batch | None:
        """Return the batch that is not settled yet."""
        return Batch.objects.filter(destination_id=self.destination_id, state=BatchState.OPEN).first()

    def save_batch(self, events: Sequence[Any]) -> Batch | None:
        """Save the membership of the next batch, before anything is sent. None where the lease was lost."""
        with transaction.atomic():
            held = Position.objects.held(self)
            if not held.update(next_number=F("next_number") + 1):
                return None
            return Batch.objects.create(
                destination_id=self.destination_id,
                number=held.values_list("next_number", flat=True)[0] - 1,
                members=[event.id for event in events],
                count=len(events),
                first_event=events[0].id,
                last_event=events[-1].id,
                last_xid=events[-1].xid,
            )
