"""Delete tenants: deletes, batch by batch, all that a tenant has who is being deleted; its own row goes last.

Each batch is one transaction, and needs no memory: what is left says what is to be done. So the sweep goes on
after a kill at any statement, and two sweeps at once delete different rows, or wait for the next time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from eventsinks.actions.delete_tenant import stop_destinations
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import (
    ApiKey,
    Batch,
    Clearing,
    Count,
    CountDelta,
    Delivery,
    Destination,
    Event,
    Finding,
    Incident,
    NetworkTraffic,
    Position,
    ProxyAccess,
    QuietWindow,
    Replay,
    RetentionWalk,
    Silence,
    SlackInstall,
    SlackWorkspace,
    Tenant,
    TrafficTerm,
)
from eventsinks.models.delivery.walk import find_destinations_with_deliveries
from eventsinks.models.removal import Removed, remove_deliveries, remove_events, remove_some
from eventsinks.models.search.alert_words import AlertWords
from eventsinks.models.stream.batch import LogPlace
from eventsinks.models.stream.read import beyond_sql, get_beginning
from eventsinks.sweeping.retain import AT_ONCE, DELIVERIES, OldEvent, cut_batch, note_removed

MARGIN = timedelta(minutes=1)  # beyond a lease: what was under way when the deletion began has ended by then

log = logging.getLogger(__name__)

_removed: Removed = Counter()
_places: dict[UUID, LogPlace] = {}  # before these places of a tenant's log lie only dead rows


def delete_tenants() -> int:
    """Delete some of what the tenants have that are being deleted. Return how many rows were deleted."""
    ids = Tenant.objects.filter(deleted_at__isnull=False).order_by().values_list("id", flat=True)
    _removed.clear()
    done = do_in_turns([(id, id) for id in ids], delete_some)
    note_removed(+_removed, "their tenants are being deleted")
    return done


def delete_some(tenant_id: UUID) -> tuple[int, bool]:
    """Delete the next batch of a tenant's rows. Return how many, and whether there may be more."""
    tenant = Tenant.objects.filter(id=tenant_id).exclude(deleted_at=None).first()
    if tenant is None:
        return 0, False
    stop_destinations(tenant)  # somebody may have made one meanwhile
    removed = delete_events(tenant) or delete_deliveries(tenant) or delete_rest(tenant)
    _removed.update(removed)
    if removed:
        count = sum(removed.values())
        return count, count > 0  # what others have locked waits for the next sweep
    return int(delete_last(tenant)), False


def delete_events(tenant: Tenant) -> Removed:
    """Delete the first of a tenant's events with all that hangs on them."""
    for place in dict.fromkeys((_places.get(tenant.id, get_beginning()), get_beginning())):
        found = Event.objects.filter(tenant=tenant).extra(where=[beyond_sql()], params=list(place))
        rows = found.order_by("xid", "id").values_list(*OldEvent._fields)[:AT_ONCE]
        if events := cut_batch([OldEvent(*row) for row in rows]):
            removed, _ = remove_events([event.id for event in events], owed_too=True)
            _places[tenant.id] = LogPlace(events[-1].xid, events[-1].id)
            return removed or Counter(event=0)  # something is left: it is not the turn of the rest
    return Counter()


def delete_deliveries(tenant: Tenant) -> Removed:
    """Delete deliveries that were written while their events were deleted."""
    ids = list(Destination.objects.filter(tenant=tenant).values_list("id", flat=True))
    for id in find_destinations_with_deliveries(ids):
        return remove_deliveries(Delivery.objects.filter(destination_id=id), DELIVERIES)
    return Counter()


def list_rest(tenant: Tenant) -> Sequence[QuerySet[Any]]:
    """Return the other rows of a tenant of which there may be many."""
    its = Destination.objects.filter(tenant=tenant).values("id")
    of_destinations = [model.objects.filter(destination_id__in=its) for model in (Batch, Incident, QuietWindow)]
    of_tenant = (AlertWords, NetworkTraffic, ProxyAccess, TrafficTerm, Replay, Clearing, Silence, SlackInstall)
    counted = [model._default_manager.filter(tenant_id=tenant.id) for model in (Count, CountDelta, Finding)]
    return [*of_destinations, *[model._default_manager.filter(tenant=tenant) for model in of_tenant], *counted]


def delete_rest(tenant: Tenant) -> Removed:
    """Delete some of the other rows of a tenant."""
    for rows in list_rest(tenant):
        if removed := remove_some(rows, DELIVERIES):
            return Counter({rows.model._meta.model_name or "": removed})
    return Counter()


def delete_last(tenant: Tenant) -> bool:
    """Delete the destinations, the keys and the tenant's row, if nothing else is left. Return whether it did.

    A request that was let in, and a message that was under way, before the deletion began have ended by then.
    """
    over = timedelta(seconds=settings.EVENTSINKS_LEASE) + MARGIN
    with transaction.atomic():
        same = Tenant.objects.filter(id=tenant.id, deleted_at__lt=Now() - over)
        if not same.select_for_update(skip_locked=True).values_list("id"):
            return False
        its = Destination.objects.filter(tenant=tenant)
        ids = list(its.values_list("id", flat=True))
        if find_destinations_with_deliveries(ids) or any(rows.exists() for rows in list_rest(tenant)):
            return False
        if Event.objects.filter(tenant=tenant).exists():
            return False
        Position.objects.filter(destination_id__in=ids).delete()
        its.update(fallback=None)
        for rows in (its, SlackWorkspace.objects.filter(tenant=tenant), ApiKey.objects.filter(tenant=tenant)):
            rows._raw_delete(rows.db)
        RetentionWalk.objects.filter(tenant=tenant).delete()
        same._raw_delete(same.db)
    _places.pop(tenant.id, None)
    log.warning("the tenant %s (%s) is deleted", tenant.id, tenant.name)
    return True
