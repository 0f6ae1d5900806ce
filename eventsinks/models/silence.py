"""Silences: hold matching alerts back for a time, for a reason that somebody gave."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Least, Now

from eventsinks.models.destination import Destination
from eventsinks.models.tenant import Tenant


class SilenceQuerySet(models.QuerySet["Silence"]):
    """Silences, and the usual filters."""

    def of(self, tenant: Tenant) -> Self:
        """Keep those of one tenant. Every API query starts here."""
        return self.filter(tenant=tenant)

    def in_force(self) -> Self:
        """Keep those that hold alerts back now."""
        return self.filter(starts_at__lte=Now(), ends_at__gt=Now())

    def end(self) -> int:
        """End those that have not ended; a future one never begins. Return how many moved."""
        return self.filter(ends_at__gt=Now()).update(starts_at=Least("starts_at", Now()), ends_at=Now())


class Silence(models.Model):
    """Holds back alerts that match `filter`, at one event sink or at all of a tenant's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="silences", db_index=False)
    destination = models.ForeignKey(
        Destination,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_index=False,
        related_name="silences",
        verbose_name="event sink",
    )
    filter = models.TextField(blank=True)  # CEL; empty matches everything
    author = models.CharField(max_length=200)
    reason = models.TextField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SilenceQuerySet.as_manager()

    class Meta:
        verbose_name = "silence"
        verbose_name_plural = "silences"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__gte=models.F("starts_at")), name="silence_ends_after_it_starts"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "ends_at"], name="silence_of_tenant")]

    def __str__(self) -> str:
        return f"{self.reason} ({self.author})"
