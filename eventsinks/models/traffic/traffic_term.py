"""Traffic terms: the searchable texts of flows, stored once; flows have their numbers (docs/decisions/0010)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from eventsinks.models.database import sql
from eventsinks.models.tenant import Tenant

MOST_KNOWN = 200_000  # written terms that a process remembers
WITH_PORT = re.compile(r"(.*(?:\]|\.[0-9]{1,3}))(:[0-9]{1,5})")

_known: dict[UUID, dict[str, int]] = {}  # by tenant: the written terms and their numbers


class TrafficTerm(models.Model):
    """An email, a name, an address or a port (`:443`) in flows of a tenant, in lower case.

    Only PostgreSQL uses this table; on SQLite a search reads the flows.
    """

    number = models.BigIntegerField(primary_key=True)  # make_number of the tenant and the text
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Terms(models.TextField):  # type: ignore[type-arg]
    """Numbers of terms, as from array_sql. On PostgreSQL, a named type of `bigint[]` that can be unnested."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the domain from migration 0009, or SQLite's text."""
        return "traffic_terms" if connection.vendor == "postgresql" else super().db_type(connection)


@Terms.register_lookup
class Overlap(models.Lookup):  # type: ignore[type-arg]
    """`terms__overlap=[1, 2]`: the flow has one of them."""

    lookup_name = "overlap"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return PostgreSQL's operator, which can use a GIN index."""
        terms, parameters = self.process_lhs(compiler, connection)
        return f"{terms} && %s::bigint[]", [*parameters, array_sql(self.rhs)]


def array_sql(numbers: Collection[int]) -> str:
    """Return numbers in PostgreSQL's notation of an array."""
    return "{" + ",".join(map(str, numbers)) + "}"


def make_number(tenant_id: UUID, term: str) -> int:
    """Return the number of a tenant's term: 64 bits of a hash that SQL can compute too."""
    digest = hashlib.md5(f"{tenant_id}{term}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], signed=True)


def list_terms(search: str) -> list[str]:
    """Return the terms of a flow's lines: each line; if it has a port, the address without it, and the port."""
    terms: list[str] = []
    for line in search.split("\n"):
        if match := WITH_PORT.fullmatch(line):
            terms += match.groups()
        elif line:
            terms.append(line)
    return terms


def write_terms(tenant_id: UUID, searches: Sequence[str]) -> Sequence[str | None]:
    """Write the new terms of a tenant's flows. Return the `terms` of each flow's row."""
    if not sql.is_postgresql():
        return [None] * len(searches)
    flows = [list_terms(search) for search in searches]
    known = _known.get(tenant_id, {})
    new = {term: make_number(tenant_id, term) for flow in flows for term in flow if term not in known}
    # Sorted, or two writers could wait for each other.
    rows = [TrafficTerm(number=number, tenant_id=tenant_id, text=term) for term, number in new.items()]
    TrafficTerm.objects.bulk_create(sorted(rows, key=lambda row: row.number), ignore_conflicts=True)
    transaction.on_commit(lambda: add_terms(tenant_id, new))
    return [array_sql([new[term] if term in new else known[term] for term in flow]) for flow in flows]


def add_terms(tenant_id: UUID, written: Mapping[str, int]) -> None:
    """Remember committed terms, within bounds."""
    if sum(map(len, _known.values())) > MOST_KNOWN:
        _known.clear()
    _known.setdefault(tenant_id, {}).update(written)
