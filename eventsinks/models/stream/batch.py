"""Batches: one row for each batch of events that an integration was sent."""

from __future__ import annotations

import uuid
from typing import ClassVar, NamedTuple

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.models.destination import Destination


class LogPlace(NamedTuple):
    """A place in a tenant's event log. Every event up to it is accounted for."""

    xid: int
    event_id: int


class BatchState(models.TextChoices):
    """The state of a batch."""

    OPEN = "open", "Open"  # its members are saved; it is being sent, or waits for its next try
    SENT = "sent", "Sent"  # all its events are accounted for
    SPLIT = "split", "Split"  # too large; smaller batches continue with its events


class Batch(models.Model):
    """The events of one request. They are saved before it is sent, so that every try sends the same ones.

    `members` are the ids of the events that are still owed; it is empty after the batch was sent. If a batch was
    halved, `rest` are the events of the same stretch that follow. The row stays as a record of what was sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    destination = models.ForeignKey(
        Destination, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    number = models.BigIntegerField()  # counts up by one per integration
    state = models.CharField(max_length=8, choices=BatchState.choices, default=BatchState.OPEN)
    members = models.JSONField(default=list)
    rest = models.JSONField(default=list)
    stored = models.JSONField(null=True)  # for a manifest: key, size and hash of each object that the type wrote
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
    def last_place(self) -> LogPlace:
        """The place of its last event."""
        return LogPlace(self.last_xid, self.last_event)
