"""Proxy access: one narrow row beside each event of the type `proxy`, for searching the proxy's requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db import models

from eventsinks.models.event import Event
from eventsinks.models.new_event import NewEvent
from eventsinks.models.tenant import Tenant


class ProxyAccess(models.Model):
    """The search row of a request, written with its event and never changed. Readers get the event itself.

    Texts are "" if the request has none. Host, path, email, name and `search` are in lower case.
    """

    event = models.OneToOneField(Event, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    occurred_at = models.DateTimeField()
    method = models.CharField(max_length=32)
    host = models.CharField(max_length=255)
    path = models.TextField()
    status_code = models.PositiveSmallIntegerField()
    duration_ms = models.BigIntegerField()
    source_ip = models.CharField(max_length=255)
    user_id = models.CharField(max_length=255)
    user_email = models.CharField(max_length=255)
    user_name = models.CharField(max_length=255)
    auth_method = models.CharField(max_length=255)
    reason = models.CharField(max_length=255)
    search = models.TextField()

    class Meta:
        verbose_name = "proxy access"
        verbose_name_plural = "proxy accesses"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "occurred_at", "event"], name="proxy_by_time"),
            models.Index(fields=["tenant", "user_id", "occurred_at", "event"], name="proxy_by_user"),
            models.Index(fields=["tenant", "source_ip", "occurred_at", "event"], name="proxy_by_source"),
            models.Index(fields=["tenant", "host", "occurred_at", "event"], name="proxy_by_host"),
            models.Index(fields=["tenant", "status_code", "occurred_at", "event"], name="proxy_by_status"),
        ]

    def __str__(self) -> str:
        return str(self.event_id)


def write_accesses(requests: Sequence[tuple[NewEvent, Mapping[str, Any]]]) -> None:
    """Write the rows of new events of one tenant, each with its columns."""
    ProxyAccess.objects.bulk_create(
        [
            ProxyAccess(event_id=event.id, tenant_id=event.tenant_id, occurred_at=event.occurred_at, **columns)
            for event, columns in requests
        ]
    )
