"""Attempts: the single tries of a delivery, stored as evidence and never changed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from eventsinks.models.delivery import Delivery


class Outcome(models.TextChoices):
    """The result of one try."""

    DELIVERED = "delivered", "Delivered"  # the far end accepted it
    TEMPORARY = "temporary", "Temporary failure"  # may work another time
    UNKNOWN = "unknown", "Outcome unknown"  # it was sent, but no answer came: the far end may have it
    REFUSED = "refused", "Event refused"  # this event will never be accepted; others may be
    GONE = "gone", "Destination gone"  # nothing is accepted until somebody repairs it


class Attempt(models.Model):
    """One try. Times are milliseconds from its start; 0 if a step did not happen."""

    id = models.UUIDField(primary_key=True)  # version 7: in order of time
    delivery = models.ForeignKey(
        Delivery, on_delete=models.DO_NOTHING, db_constraint=False, related_name="attempts"
    )
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    status = models.PositiveSmallIntegerField(null=True)  # of the HTTP response, if one came
    reason = models.TextField(blank=True)
    excerpt = models.TextField(blank=True)  # the first part of the response's body
    peer = models.CharField(max_length=64, blank=True)  # the address of the connection
    dns_ms = models.FloatField(default=0)
    connect_ms = models.FloatField(default=0)
    tls_ms = models.FloatField(default=0)
    first_byte_ms = models.FloatField(default=0)
    total_ms = models.FloatField(default=0)

    class Meta:
        verbose_name = "attempt"
        verbose_name_plural = "attempts"
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"try {self.number}: {self.get_outcome_display()}"
