"""Keys: looks up the API keys of many requests in one query, with what routing must know of their tenants.

They are looked up anew for each group of requests, so a revoked key, or a lowered limit, is in force for the very
next request.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventsinks.models import Tenant
from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Texts, fetch_bound_rows
from eventsinks.models.tenant import make_key_digest

KNOWN = 10_000  # rows of which the key is remembered


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A usable key of a tenant. `version` is the tenant's routing number."""

    tenant: Tenant
    scopes: frozenset[str]
    version: int


def find_keys(texts: Collection[str]) -> dict[str, KnownKey]:
    """Return the usable keys among these texts. An operator's key is none of them: it sends no events."""
    by_digest = {make_key_digest(text): text for text in texts}
    return {by_digest[digest]: parse_key(*row) for digest, *row in read_keys(list(by_digest))}


@functools.lru_cache(KNOWN)
def parse_key(tenant_id: UUID | str, name: str, own_limits: str, scopes: str, version: int) -> KnownKey:
    """Return the key that a row tells of. The same row means the same key."""
    tenant = Tenant(id=sql.read_id(tenant_id), name=name, own_limits=json.loads(own_limits))
    return KnownKey(tenant, frozenset(json.loads(scopes)), version)


def read_keys(digests: list[str]) -> list[tuple[Any, ...]]:
    """Return of each usable key: digest, tenant's id, name and own limits, scopes, routing number."""
    wanted = "= ANY(%b)" if sql.is_postgresql() else f"IN ({', '.join(['%s'] * len(digests))})"
    statement = f"""
        SELECT key.digest, tenant.id, tenant.name, {as_text("tenant.own_limits")}, {as_text("key.scopes")},
            coalesce(routing.version, 0)
        FROM eventsinks_apikey AS key JOIN eventsinks_tenant AS tenant ON tenant.id = key.tenant_id
            LEFT JOIN eventsinks_routing AS routing ON routing.tenant_id = tenant.id
        WHERE key.digest {wanted} AND key.revoked_at IS NULL
            AND (key.expires_at IS NULL OR key.expires_at > {sql.now_sql()})"""
    return (
        fetch_bound_rows(statement, [Texts(digests)])
        if sql.is_postgresql()
        else sql.fetch_rows(statement, digests)
    )


def as_text(column: str) -> str:
    """Return the SQL of a JSON column as text."""
    return f"{column}::text" if sql.is_postgresql() else column
