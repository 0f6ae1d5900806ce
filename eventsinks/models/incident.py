"""Incidents: what a destination type wants to know at the next message of the same incident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models.functions import Now

from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.database.sql import clean_json, clean_text
from eventsinks.models.destination import Destination

KEPT = timedelta(days=30)  # an incident is forgotten after this long without news
AT_ONCE = 2_000  # incidents that one sweep forgets

IncidentKey = tuple[int, str]  # the destination and the dedup key of an incident


class IncidentQuerySet(models.QuerySet["Incident"]):
    """Incidents, and the usual queries."""

    def memories(self, places: Iterable[IncidentKey]) -> dict[IncidentKey, Mapping[str, Any]]:
        """Return what is remembered of each."""
        wanted = {(id, clean_text(key)): (id, key) for id, key in places}
        rows = self.filter(destination_id__in={id for id, _ in wanted}, key__in={key for _, key in wanted})
        found = rows.values_list("destination_id", "key", "memory")
        return {wanted[id, key]: memory for id, key, memory in found if (id, key) in wanted}

    def remember(self, place: IncidentKey, memory: Mapping[str, Any]) -> None:
        """Keep `memory` in place of what was remembered."""
        id, key = place
        told = clean_json(memory)
        self.bulk_create(
            [Incident(destination_id=id, key=clean_text(key), memory=told, updated_at=read_database_clock())],
            update_conflicts=True,
            unique_fields=["destination", "key"],
            update_fields=["memory", "updated_at"],
        )

    def forget_old(self) -> None:
        """Delete at most AT_ONCE incidents without news for so long, except locked ones."""
        with transaction.atomic():
            old = self.filter(updated_at__lt=Now() - KEPT).select_for_update(skip_locked=True)
            self.filter(id__in=list(old.values_list("id", flat=True)[:AT_ONCE])).delete()


class Incident(models.Model):
    """One incident at one destination. `memory` belongs to its type: where the first message is, what it said."""

    destination = models.ForeignKey(
        Destination, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=255)
    memory = models.JSONField()
    updated_at = models.DateTimeField(db_index=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        verbose_name = "incident"
        verbose_name_plural = "incidents"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["destination", "key"], name="incident_once_per_destination")
        ]

    def __str__(self) -> str:
        return self.key
