"""Forget: takes rows out of the counts that are deleted on purpose, so that the audit does not miss them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from eventsinks.models.counting.add import Key, add, tally_new
from eventsinks.models.counting.slots import find_stretch
from eventsinks.models.counting.tables import What

NOBODY = UUID(int=0)  # the tenant of counts that are of no single destination


def forget(
    events: Iterable[tuple[UUID, int]] = (),
    deliveries: Iterable[tuple[UUID, int, UUID, str]] = (),
) -> None:
    """Take deleted rows out of the counts. Call this in the transaction that deletes them, with what it deleted.

    An event is given as (tenant, id), a delivery as (tenant, destination, id, state).
    """
    tally: Counter[Key] = Counter((tenant, 0, What.EVENT, find_stretch(id)) for tenant, id in events)
    tally.update(tally_new(deliveries))
    add({key: -n for key, n in tally.items()})
