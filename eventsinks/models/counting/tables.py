"""Tables: counts, the deltas that are not summed up yet, and what the audit remembers and found."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q, Sum
from django.db.models.functions import Now


class What:
    """What is counted. The ended states of a delivery count under their own names: `delivered`, `failed`, …"""

    EVENT = "event"  # events of a tenant; destination 0, the slot is a stretch of ids
    ACCEPTED = "accepted"  # deliveries that were made
    # How long it took, by the classes of times.py; destination 0. Only pages show these.
    FIRST = "first:"  # from acceptance to the first try
    DONE = "done:"  # from acceptance to delivery


ENDED = ("delivered", "failed", "suppressed")  # the states of deliveries that count


class Counted(models.Model):
    """A number. The slot says when a delivery was accepted (see slots.py)."""

    # No constraints: a row is written for each group of alerts, and a number of what is gone does no harm.
    tenant_id = models.UUIDField()
    destination_id = models.BigIntegerField()  # 0 for what no single destination is said to have
    what = models.CharField(max_length=24)
    slot = models.BigIntegerField()
    n = models.BigIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.n} {self.what} at {self.destination_id} in {self.slot}"


class Count(Counted):
    """A sum of deltas."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["destination_id", "slot", "what", "tenant_id"], name="count_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["what", "slot"], name="count_of_slot"),
            models.Index(fields=["id"], condition=Q(n=0), name="count_of_nothing"),
        ]


class CountDelta(Counted):
    """What one transaction adds to a count, so that no two wait for the same row. SQLite adds at once instead."""


class AuditMark(models.Model):
    """How far a walk of the audit has come."""

    name = models.CharField(max_length=24, primary_key=True)
    place = models.BigIntegerField()  # the next slot

    def __str__(self) -> str:
        return f"{self.name} at {self.place}"


class FindingQuerySet(models.QuerySet["Finding"]):
    """What the audit found."""

    def unaccounted(self) -> int:
        """Return how many rows are missing, as far as nobody has dismissed them."""
        return self.filter(dismissed_at=None).aggregate(n=Sum("missing"))["n"] or 0

    def dismiss(self) -> int:
        """Take note of them. Return how many there were."""
        return self.filter(dismissed_at=None).update(dismissed_at=Now())


class Finding(models.Model):
    """Something that the audit found missing."""

    KINDS: ClassVar = [
        ("delivery", "Deliveries"),
        ("event", "Events"),
    ]
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    found_at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16, choices=KINDS)
    tenant_id = models.UUIDField(null=True)
    destination_id = models.BigIntegerField(null=True)
    slot = models.BigIntegerField()
    missing = models.PositiveIntegerField()
    detail = models.TextField()
    dismissed_at = models.DateTimeField(null=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-found_at"]

    def __str__(self) -> str:
        return self.detail
