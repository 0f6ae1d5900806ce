"""Kept: since when a tenant has its rows, and when the oldest of them go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from eventsinks.models import Delivery, Event, RetentionWalk, Tenant
from eventsinks.models.retention import ATTEMPTS, FOR_EVER, UNSTREAMED, Retention, get_days

MOST = 200  # destinations that are looked at


@dataclass(frozen=True, slots=True)
class Kept:
    """What a tenant keeps of one kind. `goes_at` is when the oldest may go, unless something needs it longer."""

    name: str
    description: str
    days: int
    oldest: datetime | None = None
    goes_at: datetime | None = None
    looked_at_next: datetime | None = None  # when the sweep goes on with them


def describe_kept(tenant: Tenant) -> list[Kept]:
    """Return what a tenant keeps, in one index step for each event type and destination."""
    walks = list(
        RetentionWalk.objects.filter(tenant=tenant).order_by("due_at")[: MOST + len(Retention.model_fields)]
    )
    return [
        describe_one(tenant, name, [walk for walk in walks if walk.name == name])
        for name in Retention.model_fields
    ]


def describe_one(tenant: Tenant, name: str, walks: Sequence[RetentionWalk]) -> Kept:
    """Return what is kept of one kind, of which these are the walks."""
    days, text = get_days(tenant, name), Retention.model_fields[name].description or ""
    if name == UNSTREAMED or not walks:
        return Kept(name, text, days.days)
    find = find_oldest_tried if name == ATTEMPTS else find_oldest_event
    oldest = min((at for walk in walks if (at := find(walk)) is not None), default=None)
    goes_at = oldest + days if oldest and days < timedelta(days=FOR_EVER) else None
    return Kept(name, text, days.days, oldest, goes_at, walks[0].due_at)


def find_oldest_event(walk: RetentionWalk) -> datetime | None:
    """Return when the oldest event of a walk was received."""
    found = Event.objects.filter(tenant_id=walk.tenant_id, type=walk.name, id__gt=walk.first_event)
    return found.order_by("id").values_list("received_at", flat=True).first()


def find_oldest_tried(walk: RetentionWalk) -> datetime | None:
    """Return when the oldest delivery of a destination was made whose attempts are kept."""
    found = Delivery.objects.filter(destination_id=walk.destination_id, id__gt=walk.delivery)
    id = found.order_by("id").values_list("id", flat=True).first()
    return Delivery(id=id).created_at if id else None
