"""Noise: the rules with the most alerts, counted over the newest search rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from eventsinks.models.database import sql
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.event import Event, fill_columns
from eventsinks.models.search.alert_words import AlertWords
from eventsinks.models.search.find import find_first_id

COUNTED = 100_000  # newest alerts that one look counts
SHOWN = 20  # rules


@dataclass(frozen=True, slots=True)
class NoisyRule:
    """A rule of a tenant (alerts of one name, if they name no rule), how many alerts it made, and the newest."""

    count: int
    newest: Event


@dataclass(frozen=True, slots=True)
class Noise:
    """The noisiest rules first, among `counted` alerts. `since`: the look ended there, if it came to its bound."""

    rules: list[NoisyRule]
    counted: int
    since: datetime | None = None


def count_noise(
    period: timedelta, tenant_id: UUID | None = None, *, most: int = COUNTED, shown: int = SHOWN
) -> Noise:
    """Return the noisiest rules of the last `period`."""
    first = find_first_id(read_database_clock() - period)
    own = "AND tenant_id = %s" if tenant_id else ""
    owner = [sql.convert_id(tenant_id)] if tenant_id else []
    rows = sql.fetch_rows(
        f"""WITH newest AS (
            SELECT event_id, tenant_id, noise FROM {AlertWords._meta.db_table}
            WHERE event_id >= %s {own} ORDER BY event_id DESC LIMIT %s)
        SELECT max(event_id), count(*), min(event_id), sum(count(*)) OVER (), min(min(event_id)) OVER ()
        FROM newest GROUP BY tenant_id, noise ORDER BY 2 DESC, 1 DESC LIMIT %s""",
        [first, *owner, most, shown],
    )
    newest = {event.pk: event for event in list_events([row[0] for row in rows])}
    counted, least = (int(rows[0][3]), int(rows[0][4])) if rows else (0, 0)
    reached = (
        Event.objects.values_list("received_at", flat=True).filter(id=least).first() if counted == most else None
    )
    return Noise([NoisyRule(row[1], newest[row[0]]) for row in rows if row[0] in newest], counted, reached)


def list_events(ids: list[int]) -> list[Event]:
    """Return these events, with their tenants and names."""
    found = list(Event.objects.select_related("tenant").filter(id__in=ids))
    fill_columns(found)
    return found
