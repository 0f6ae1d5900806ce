"""Network traffic: one narrow row beside each network-traffic event, for searching flows (docs/decisions/0010)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Q

from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Bigints, Moments, Texts, fetch_bound_rows
from eventsinks.models.event import Event
from eventsinks.models.new_event import NewEvent
from eventsinks.models.tenant import Tenant
from eventsinks.models.traffic.traffic_term import Terms, TrafficTerm, write_terms

MANY_TERMS = 5_000  # more terms than this are not looked up one by one
COMMON = 0.02  # if a larger share of the flows matches, plain reading finds enough of them soon
ACROSS_PORT = re.compile(r"(.*[\]0-9])(:[0-9]*)")


class NetworkTraffic(models.Model):
    """The search row of a flow, written with its event and never changed. Readers get the event itself.

    Texts are "" if the flow has none. `shape` is event_types.network_traffic.Shape as a number: protocol, event,
    direction and connection type in one. There are few shapes, so one index finds them all.
    """

    event = models.OneToOneField(Event, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    occurred_at = models.DateTimeField()
    user_id = models.CharField(max_length=255)
    reporter_id = models.CharField(max_length=255)
    source_id = models.CharField(max_length=255)
    destination_id = models.CharField(max_length=255)
    shape = models.PositiveIntegerField()
    search = models.TextField()  # the user's email, the names and addresses of both ends, in lower case
    terms = Terms(null=True)  # of `search`, on PostgreSQL

    class Meta:
        verbose_name = "network traffic"
        verbose_name_plural = "network traffic"
        indexes: ClassVar = [
            # This index includes the shape, so that a query need not read the table.
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


def write_flows(flows: Sequence[tuple[NewEvent, Mapping[str, Any]]]) -> None:
    """Write the rows of new events of one tenant. The given columns lack only `terms`."""
    if not flows:
        return
    tenant_id = flows[0][0].tenant_id
    terms = write_terms(tenant_id, [columns["search"] for _, columns in flows])
    if sql.is_postgresql():
        _write_on_postgresql(tenant_id, flows, terms)
        return
    NetworkTraffic.objects.bulk_create(
        [
            NetworkTraffic(
                event_id=event.id, tenant_id=tenant_id, occurred_at=event.occurred_at, terms=numbers, **columns
            )
            for (event, columns), numbers in zip(flows, terms, strict=True)
        ]
    )


TEXTS = ("user_id", "reporter_id", "source_id", "destination_id", "search")


def _write_on_postgresql(
    tenant_id: UUID, flows: Sequence[tuple[NewEvent, Mapping[str, Any]]], terms: Sequence[str | None]
) -> None:
    statement = f"""
        INSERT INTO eventsinks_networktraffic (event_id, tenant_id, occurred_at, shape, {", ".join(TEXTS)}, terms)
        SELECT event_id, %b, occurred_at, shape, {", ".join(TEXTS)}, terms::bigint[]::traffic_terms
        FROM unnest(%b::bigint[], %b::timestamptz[], %b::bigint[], {"%b::text[], " * len(TEXTS)}%b::text[])
        AS new(event_id, occurred_at, shape, {", ".join(TEXTS)}, terms)"""
    parameters = [
        tenant_id,
        Bigints(event.id for event, _ in flows),
        Moments(event.occurred_at for event, _ in flows),
        Bigints(columns["shape"] for _, columns in flows),
        *[Texts(columns[name] for _, columns in flows) for name in TEXTS],
        Texts(numbers or "{}" for numbers in terms),
    ]
    fetch_bound_rows(statement, parameters)


def find_shapes(tenant: Tenant) -> list[int]:
    """Return the shapes of a tenant's flows, with one index step for each shape, not for each flow."""
    table = NetworkTraffic._meta.db_table
    tenant_id = sql.convert_id(tenant.id)
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
    """Return the condition for flows with a lower-case text in the email, a name or an address."""
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
    """Return the condition for flows with one of these terms. None means too many terms: then no condition."""
    return Q() if terms is None else Q(terms__overlap=terms)


def find_numbers(tenant: Tenant, **texts: str) -> Sequence[int] | None:
    """Return the numbers of a tenant's terms that match, None if they are too many."""
    terms = TrafficTerm.objects.filter(tenant=tenant, **texts).values_list("number", flat=True)
    found = list(terms[: MANY_TERMS + 1])
    return found if len(found) <= MANY_TERMS else None


def is_common(tenant: Tenant, condition: Q) -> bool:
    """Return whether PostgreSQL expects many of the tenant's flows to match a condition."""
    flows = NetworkTraffic.objects.filter(tenant=tenant)
    return estimate_count(flows.filter(condition)) > COMMON * estimate_count(flows)


def estimate_count(flows: models.QuerySet[NetworkTraffic]) -> int:
    """Return how many rows PostgreSQL expects by its statistics, without reading any."""
    return int(json.loads(flows.explain(format="json"))[0]["Plan"]["Plan Rows"])
