"""Unlisted: the batches that no manifest lists yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eventsinks.models.database import sql
from eventsinks.models.stream.batch import Batch
from eventsinks.models.stream.position import Position


def find_unlisted(position: Position) -> list[Batch]:
    """Return the settled batches of the first hour that no manifest lists, if that hour is over."""
    number = position.manifest_number + 1
    settled = Batch.objects.filter(destination_id=position.destination_id).order_by("number")
    over = settled.filter(number=number).extra(where=[f"settled_at < {sql.this_hour_sql()}"])
    first = over.first()
    if first is None:
        return []
    end = find_hour(first) + timedelta(hours=1)
    found = settled.filter(number__gte=number, settled_at__lt=end).defer("members", "rest")
    return [batch for place, batch in enumerate(found) if batch.number == number + place]


def find_hour(batch: Batch) -> datetime:
    """Return the hour in which a batch was settled."""
    assert batch.settled_at
    return batch.settled_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
