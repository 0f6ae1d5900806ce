"""What flows are looked for by: one narrow row beside each event of network traffic (docs/decisions/0010)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from eventsinks.models import sql
from eventsinks.models.event import Event
from eventsinks.models.tenant import Tenant


class NetworkTraffic(models.Model):
    """A flow's row of columns, written with its event and never changed. The event itself is what is shown.

    Texts are "" where the flow says nothing. `shape` is event_types.network_traffic.Shape as a number: protocol,
    what happened, direction and connection type at once. There are few shapes, so that one index finds them all.
    """

    event = models.OneToOneField(Event, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    occurred_at = models.DateTimeField()
    user_id = models.CharField(max_length=255)
    reporter_id = models.CharField(max_length=255)
    source_id = models.CharField(max_length=255)
    destination_id = models.CharField(max_length=255)
    shape = models.PositiveIntegerField()
    search = models.TextField()  # the user's email, and the names and addresses of both ends, in lower case

    class Meta:
        verbose_name = "network traffic"
        verbose_name_plural = "network traffic"
        indexes: ClassVar = [
            # The shape is there to be read without a look at the table.
            models.Index(fields=["tenant", "occurred_at", "event", "shape"], name="traffic_by_time"),
            models.Index(fields=["tenant", "shape", "occurred_at", "event"], name="traffic_by_shape"),
            models.Index(fields=["tenant", "user_id", "occurred_at", "event"], name="traffic_by_user"),
            models.Index(fields=["tenant", "reporter_id", "occurred_at", "event"], name="traffic_by_reporter"),
            models.Index(fields=["tenant", "source_id", "occurred_at", "event"], name="traffic_by_source"),
            models.Index(
                fields=["tenant", "destination_id", "occurred_at", "event"], name="traffic_by_destination"
            ),
        ]

    def __str__(self) -> str:
        return str(self.event_id)


def shapes_of(tenant: Tenant) -> list[int]:
    """Return the shapes that a tenant's flows have: one step through the index for each, not one for each flow."""
    table = NetworkTraffic._meta.db_table
    tenant_id = tenant.id if sql.is_postgresql() else tenant.id.hex
    found = sql.rows(
        f"""WITH RECURSIVE seen(shape) AS (
                SELECT min(shape) FROM {table} WHERE tenant_id = %s
                UNION ALL
                SELECT (SELECT min(shape) FROM {table} WHERE tenant_id = %s AND shape > seen.shape)
                FROM seen WHERE seen.shape IS NOT NULL)
            SELECT shape FROM seen WHERE shape IS NOT NULL""",
        [tenant_id, tenant_id],
    )
    return [shape for (shape,) in found]
