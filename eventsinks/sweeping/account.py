"""Account: what was accepted for event sinks and what became of it, read from the counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count as Number
from django.db.models import Min, QuerySet, Sum

from eventsinks.models import Clearing, Count, CountDelta, Delivery, Destination, Finding, Tenant
from eventsinks.models.counting import ENDED, GRAIN, What
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import DeliveryState, find_open_deliveries
from eventsinks.models.destination import list_types


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The deliveries that event sinks were owed, and what became of them."""

    accepted: int
    delivered: int
    pending: int
    failed: int
    suppressed: int
    unaccounted: int  # what the audit found missing, until somebody dismisses it

    @property
    def balances(self) -> bool:
        """Whether nothing is missing."""
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
        n=Number("pk"), first=Min("due_at")
    )
    now = read_database_clock()
    late = (now - found["first"]).total_seconds() if found["first"] else 0.0
    busy = Clearing.objects.running().values_list("destination_id", flat=True)
    clearing = sum(find_open_deliveries(id).count() for id in set(busy))
    in_line = Delivery.objects.all().behind()
    oldest = in_line.order_by("id").first()
    waits = (now - oldest.created_at).total_seconds() if oldest else 0.0
    return OpenBacklog(found["n"], max(late, 0.0), clearing, in_line.count(), max(waits, 0.0))


def read_account(tenant: Tenant | None = None, since: datetime | None = None) -> AccountBalance:
    """Read the account of one tenant or of all, of what was accepted since a moment or ever. It reads no delivery.

    The moment is rounded down to ten minutes.
    """
    sums = {what: sum(sum_up(table, what, tenant, since) for table in (Count, CountDelta)) for what in WHATS}
    findings = Finding.objects.all() if tenant is None else Finding.objects.filter(tenant_id=tenant.id)
    ended = sum(sums[what] for what in ENDED)
    return AccountBalance(
        accepted=sums[What.ACCEPTED],
        delivered=sums[DeliveryState.DELIVERED.value],
        pending=sums[What.ACCEPTED] - ended,
        failed=sums[DeliveryState.FAILED.value],
        suppressed=sums[DeliveryState.SUPPRESSED.value],
        unaccounted=findings.unaccounted(),
    )


WHATS = (What.ACCEPTED, *ENDED)


def sum_up(table: type[Count | CountDelta], what: str, tenant: Tenant | None, since: datetime | None) -> int:
    """Return the sum of a count at event sinks."""
    sinks = Destination.objects.filter(type__in=list_types("event_sink")).values("id")
    rows: QuerySet[Count | CountDelta] = table.objects.filter(what=what, destination_id__in=sinks)
    if tenant is not None:
        rows = rows.filter(tenant_id=tenant.id)
    if since is not None:
        rows = rows.filter(slot__gte=int(since.timestamp()) // GRAIN * GRAIN)
    return rows.aggregate(n=Sum("n"))["n"] or 0
