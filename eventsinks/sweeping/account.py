"""Account: proves that every accepted event is delivered, pending, failed or suppressed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Min, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from eventsinks.models import Clearing, Delivery, Event, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import DeliveryState, find_open_deliveries
from eventsinks.models.destination import list_types

MARGIN = timedelta(minutes=10)  # ids may differ from the order of received_at by at most this; really by far less


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The deliveries that event sinks were owed, and what became of them."""

    accepted: int
    delivered: int
    pending: int
    failed: int
    suppressed: int
    unaccounted: int  # deliveries that are missing, or that should not exist

    @property
    def balances(self) -> bool:
        """Whether nothing is missing and nothing is too much."""
        return self.unaccounted == 0


@dataclass(frozen=True, slots=True)
class OpenBacklog:
    """The open deliveries, and for how many seconds the oldest due one has been due."""

    deliveries: int
    late: float
    clearing: int = 0  # how many of them are at sinks whose backlog is being suppressed
    behind: int = 0  # how many of them wait for an earlier delivery of their line,
    longest_behind: float = 0.0  # and for how many seconds the first of these has waited


def count_open() -> OpenBacklog:
    """Count the open deliveries, using the engine's own index."""
    found = Delivery.objects.filter(state__in=[DeliveryState.PENDING, DeliveryState.SENDING]).aggregate(
        n=Count("pk"), first=Min("due_at")
    )
    now = read_database_clock()
    late = (now - found["first"]).total_seconds() if found["first"] else 0.0
    busy = Clearing.objects.running().values_list("destination_id", flat=True)
    clearing = sum(find_open_deliveries(id).count() for id in set(busy))
    in_line = Delivery.objects.all().behind()
    oldest = in_line.order_by("id").first()
    waits = (now - oldest.created_at).total_seconds() if oldest else 0.0
    return OpenBacklog(found["n"], max(late, 0.0), clearing, in_line.count(), max(waits, 0.0))


def audit_account(tenant: Tenant | None = None, since: datetime | None = None) -> AccountBalance:
    """Count the deliveries of one tenant or of all, since a moment or ever. It reads every row of that time.

    Each event stores how many deliveries it got when it was accepted, so a missing row shows.
    """
    asked = Q(owed__gt=0) | Q(type__in=["detection_alert", "notice"])
    events = Event.objects.filter(asked)
    if tenant is not None:
        events = events.filter(tenant=tenant)
    if since is not None:
        events = events.filter(id__gt=find_last_before(since), received_at__gte=since)
    at_sinks = Delivery.objects.filter(destination__type__in=list_types("event_sink"))
    own = at_sinks.filter(event_id=OuterRef("pk")).order_by().values("event_id").annotate(n=Count("pk"))
    counted = events.order_by().annotate(there=Coalesce(Subquery(own.values("n")), 0))
    missing = counted.exclude(owed=F("there")).values_list("owed", "there")
    states = dict(
        at_sinks.filter(event_id__in=events.values("pk")).order_by().values_list("state").annotate(Count("pk"))
    )
    return AccountBalance(
        accepted=events.aggregate(total=Sum("owed"))["total"] or 0,
        delivered=states.get(DeliveryState.DELIVERED, 0),
        pending=states.get(DeliveryState.PENDING, 0) + states.get(DeliveryState.SENDING, 0),
        failed=states.get(DeliveryState.FAILED, 0),
        suppressed=states.get(DeliveryState.SUPPRESSED, 0),
        unaccounted=sum(abs(owed - there) for owed, there in missing),
    )


def find_last_before(since: datetime) -> int:
    """Return an id below all events received from `since` on; 0 if there is none. Read no older events.

    There is no index on received_at, so this walks the ids backwards until it finds an older event.
    """
    older = Event.objects.filter(received_at__lt=since - MARGIN).order_by("-id")
    return older.values_list("id", flat=True).first() or 0
