"""What flows are looked for by: one narrow row beside each event of network traffic (docs/decisions/0010)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from eventsinks.models.database import sql
from eventsinks.models.event import Event
from eventsinks.models.tenant import Tenant
from eventsinks.models.traffic.traffic_term import Terms, TrafficTerm, write_terms

MANY_TERMS = 5_000  # are not looked up one by one
COMMON = 0.02  # the share of the flows above which reading soon meets enough of them
ACROSS_PORT = re.compile(r"(.*[\]0-9])(:[0-9]*)")


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
    terms = Terms(null=True)  # of `search`, on PostgreSQL

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


def write_flows(flows: Sequence[tuple[Event, Mapping[str, Any]]]) -> None:
    """Write the rows of new events of one tenant, each with its columns but for `terms`."""
    if not flows:
        return
    tenant_id = flows[0][0].tenant_id
    terms = write_terms(tenant_id, [columns["search"] for _, columns in flows])
    NetworkTraffic.objects.bulk_create(
        [
            NetworkTraffic(
                event=event, tenant_id=tenant_id, occurred_at=event.occurred_at, terms=numbers, **columns
            )
            for (event, columns), numbers in zip(flows, terms, strict=True)
        ]
    )


def find_shapes(tenant: Tenant) -> list[int]:
    """Return the shapes that a tenant's flows have: one step through the index for each, not one for each flow."""
    table = NetworkTraffic._meta.db_table
    tenant_id = tenant.id if sql.is_postgresql() else tenant.id.hex
    found = sql.fetch_rows(
        f"""WITH RECURSIVE seen(shape) AS (
                SELECT min(shape) FROM {table} WHERE tenant_id = %s
                UNION ALL
                SELECT (SELECT min(shape) FROM {table} WHERE tenant_id = %s AND shape > seen.shape)
                FROM seen WHERE seen.shape IS NOT NULL)
            SELECT shape FROM seen WHERE shape IS NOT NULL""",
        [tenant_id, tenant_id],
    )
    return [shape for (shape,) in found]


def find_with_text(tenant: Tenant, text: str) -> Q:
    """Return the condition that flows have a text, in lower case, in their email, a name or an address."""
    reading = Q(search__contains=text)
    if not sql.is_postgresql() or (found := find_numbers(tenant, text__contains=text)) is None:
        return reading
    having = Q(terms__overlap=found)
    if across := ACROSS_PORT.fullmatch(text):
        address, port = (
            find_numbers(tenant, text__endswith=across[1]),
            find_numbers(tenant, text__startswith=across[2]),
        )
        having |= has_term(address) & has_term(port) & reading
    return reading if is_common(tenant, having) else having


def has_term(terms: Sequence[int] | None) -> Q:
    """Return the condition that flows have one of these terms; none, where they are too many."""
    return Q() if terms is None else Q(terms__overlap=terms)


def find_numbers(tenant: Tenant, **texts: str) -> Sequence[int] | None:
    """Return the numbers of a tenant's terms with such texts; None if they are too many."""
    terms = TrafficTerm.objects.filter(tenant=tenant, **texts).values_list("number", flat=True)
    found = list(terms[: MANY_TERMS + 1])
    return found if len(found) <= MANY_TERMS else None


def is_common(tenant: Tenant, condition: Q) -> bool:
    """Whether PostgreSQL expects many of the tenant's flows to fulfil a condition."""
    flows = NetworkTraffic.objects.filter(tenant=tenant)
    return estimate_count(flows.filter(condition)) > COMMON * estimate_count(flows)


def estimate_count(flows: models.QuerySet[NetworkTraffic]) -> int:
    """Return how many rows PostgreSQL expects by its statistics, without reading any."""
    return int(json.loads(flows.explain(format="json"))[0]["Plan"]["Plan Rows"])
