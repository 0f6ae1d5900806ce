"""Walk: goes through a sink's deliveries in the order of their ids, a bounded stretch at a time."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db.models import Exists, OuterRef

from eventsinks.models.delivery.row import Delivery
from eventsinks.models.destination import Destination

LAST = uuid.UUID(int=2**128 - 1)


def find_end_of_stretch(destination_id: int, after: uuid.UUID, before: uuid.UUID, number: int) -> uuid.UUID | None:
    """Return the id `number` deliveries after `after`, None if fewer are left below `before`."""
    found = Delivery.objects.filter(destination_id=destination_id, id__gt=after, id__lt=before)
    return found.order_by("id").values_list("id", flat=True)[number - 1 : number].first()


def find_destinations_with_deliveries(ids: Collection[int]) -> list[int]:
    """Return those of these destinations that have deliveries, in one index step for each."""
    its = Delivery.objects.filter(destination_id=OuterRef("pk"))
    return list(Destination.objects.filter(Exists(its), id__in=ids).values_list("id", flat=True))
