"""Removal: deletes events with all that hangs on them: deliveries, attempts, search rows. One transaction a call.

An event goes together with all of its deliveries or not at all, so the account of what is left is right at every
moment. Rows that another process has locked stay for the next time.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from eventsinks.models import counting
from eventsinks.models.attempt import Attempt
from eventsinks.models.delivery import Delivery, DeliveryState
from eventsinks.models.event import Event
from eventsinks.models.search.alert_words import AlertWords
from eventsinks.models.traffic.network_traffic import NetworkTraffic
from eventsinks.models.traffic.proxy_access import ProxyAccess

OPEN = (DeliveryState.PENDING, DeliveryState.SENDING)

Removed = Counter[str]  # rows by the name of their table


def remove_events(ids: Collection[int], *, owed_too: bool = False) -> tuple[Removed, list[int]]:
    """Delete those of these events that owe nothing. Return what was deleted, and the events that are gone.

    With `owed_too` open deliveries do not keep an event: the tenant is being deleted.
    """
    with transaction.atomic():
        free = lock_events(ids)
        deliveries, kept = lock_deliveries(list(free), owed_too=owed_too)
        gone = [id for id in free if id not in kept]
        removed: Removed = Counter()
        going = [one for one in deliveries if one.event_id not in kept]
        of_gone = [one.id for one in going]
        removed["attempt"] += delete_rows(Attempt, "delivery_id", of_gone)
        removed["delivery"] += delete_rows(Delivery, "id", of_gone)
        removed["networktraffic"] += delete_rows(NetworkTraffic, "event_id", gone)
        removed["proxyaccess"] += delete_rows(ProxyAccess, "event_id", gone)
        removed["alertwords"] += delete_rows(AlertWords, "event_id", gone)
        removed["event"] += delete_rows(Event, "id", gone)
        counting.forget(
            [(free[id], id) for id in gone],
            [(free[one.event_id], one.destination_id, one.id, one.state) for one in going],
        )
    return +removed, gone


class LockedDelivery(NamedTuple):
    """A delivery that no other process can change now."""

    id: uuid.UUID
    event_id: int
    state: str
    destination_id: int


def lock_events(ids: Collection[int]) -> dict[int, uuid.UUID]:
    """Lock the events that no other process has locked, so that nobody adds a fallback to them.

    Return their tenants.
    """
    found = Event.objects.filter(match("id", ids)).order_by("id").select_for_update(skip_locked=True)
    return dict(found.values_list("id", "tenant_id"))


def lock_deliveries(events: Sequence[int], *, owed_too: bool) -> tuple[list[LockedDelivery], set[int]]:
    """Lock the deliveries of these events. Return them, and the events that must stay.

    An event stays if a delivery of it is open, or if another process has one locked.
    """
    its = Delivery.objects.filter(match("event_id", events)).order_by("id")
    rows = its.select_for_update(skip_locked=True, of=("self",)).values_list(*LockedDelivery._fields)
    locked = [LockedDelivery(*row) for row in rows]
    there = its.values_list("id", "event_id")  # a second look: what is locked can't change any more
    had = {one.id for one in locked}
    kept = {event_id for id, event_id in there if id not in had}
    if not owed_too:
        kept |= {one.event_id for one in locked if one.state in OPEN}
    return locked, kept


def remove_attempts(deliveries: Collection[uuid.UUID]) -> int:
    """Delete the attempts of these deliveries. Return how many."""
    with transaction.atomic():
        return delete_rows(Attempt, "delivery_id", deliveries)


def remove_deliveries(found: QuerySet[Delivery], most: int) -> Removed:
    """Delete at most `most` deliveries with their attempts, whatever their state."""
    with transaction.atomic():
        locked = found.order_by("id").select_for_update(skip_locked=True, of=("self",))
        columns = ("destination__tenant_id", "destination_id", "id", "state")
        rows = list(locked.values_list(*columns)[:most])
        ids = [id for _, _, id, _ in rows]
        removed: Removed = Counter(attempt=delete_rows(Attempt, "delivery_id", ids))
        removed["delivery"] = delete_rows(Delivery, "id", ids)
        counting.forget(deliveries=rows)
    return +removed


def remove_some(found: QuerySet[Any], most: int) -> int:
    """Delete at most `most` rows that no other process has locked, and nothing with them. Return how many."""
    with transaction.atomic():
        locked = found.order_by("pk").select_for_update(skip_locked=True, of=("self",))
        return delete_rows(found.model, "pk", list(locked.values_list("pk", flat=True)[:most]))


def delete_rows(model: Any, column: str, values: Collection[Any]) -> int:
    """Delete the rows with these values in a column, in one statement that cascades to nothing."""
    found = model.objects.filter(match(column, values))
    return int(found._raw_delete(found.db)) if values else 0


def match(column: str, values: Collection[Any]) -> Q:
    """Return the condition that a column has one of these values."""
    return Q(**{f"{column}__in": list(values)})
