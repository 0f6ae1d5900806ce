"""Routes: remembers where each tenant's events go. A change is in force for the very next event."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from uuid import UUID

from django.db import connection

from eventsinks.event_types import EventType
from eventsinks.intake.route import Route
from eventsinks.models import Tenant
from eventsinks.models.routing import read_versions

MOST = 2_000  # routes that this process remembers
GOOD_FOR = 60.0  # seconds; so long, two clocks that count the time of a silence differ by next to nothing

RouteKey = tuple[UUID, str]  # a tenant, and the key of an event type

_lock = threading.Lock()
_known: OrderedDict[RouteKey, tuple[int, float, Route]] = OrderedDict()  # its version, until when, the route


def find_routes(
    wanted: Collection[tuple[Tenant, EventType]], versions: Mapping[UUID, int] | None = None
) -> dict[RouteKey, Route]:
    """Return the routes of these tenants and event types. `versions` are the tenants' numbers, if just read.

    Inside a transaction nothing is remembered: what it has changed may be rolled back.
    """
    by_key = {(tenant.id, event_type.key): (tenant, event_type) for tenant, event_type in wanted}
    if versions is None:
        versions = {} if connection.in_atomic_block else read_versions({tenant_id for tenant_id, _ in by_key})
    return {
        key: find_route(tenant, event_type, versions.get(tenant.id, 0))
        for key, (tenant, event_type) in by_key.items()
    }


def find_route(tenant: Tenant, event_type: EventType, version: int) -> Route:
    """Return a route that is as new as `version`."""
    if connection.in_atomic_block:
        return Route(tenant, event_type)
    key, now = (tenant.id, event_type.key), time.monotonic()
    with _lock:
        known, until, route = _known.get(key, (-1, 0.0, None))
    if route is not None and known == version and until > now:
        route.tenant = tenant  # with its limits of now
        return route
    route = Route(tenant, event_type)
    with _lock:
        _known[key] = (version, now + GOOD_FOR, route)
        _known.move_to_end(key)
        if len(_known) > MOST:
            _known.popitem(last=False)
    return route
