"""Open: counts the open deliveries of a sink, up to a limit."""

from __future__ import annotations

from collections.abc import Collection

from eventsinks.models.database import sql
from eventsinks.models.delivery.row import OPEN, Delivery, find_open_deliveries


def count_open(ids: Collection[int], most: int) -> dict[int, int]:
    """Return how many deliveries are pending or being sent at each of these sinks, `most` if there are more."""
    if not ids:
        return {}
    marks = ", ".join(["%s"] * len(ids))
    counted = sql.fetch_rows(
        f"""SELECT id, (SELECT count(*) FROM (
                SELECT 1 FROM eventsinks_delivery WHERE {OPEN} AND destination_id = sink.id LIMIT %s) AS open)
            FROM eventsinks_destination AS sink WHERE id IN ({marks})""",
        [most, *ids],
    )
    return dict(counted)


def count_ahead(delivery: Delivery, most: int) -> int:
    """Return how many deliveries of the same sink and tries are due before this one, `most` if there are more."""
    lane = find_open_deliveries(delivery.destination_id).filter(tries=delivery.tries, state="pending")
    return lane.filter(due_at__lt=delivery.due_at).order_by()[:most].count()
