"""Streamed: which events of the log the integrations of a tenant still need."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from eventsinks.models import Position, Tenant
from eventsinks.models.stream.batch import LogPlace

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Needed:
    """What one integration needs: everything after its position, and the stretch of its replay.

    The events of an open batch lie after one of both.
    """

    destination_id: int
    place: LogPlace
    replay: LogPlace | None
    until: LogPlace

    def is_before(self, xid: int, id: int) -> bool:
        """Return whether the integration has not come to this place yet."""
        return (xid, id) > self.place

    def needs(self, xid: int, id: int) -> bool:
        """Return whether the integration still needs this event."""
        return self.is_before(xid, id) or (self.replay is not None and self.replay < (xid, id) <= self.until)


def find_needed(tenant: Tenant, type: str) -> list[Needed]:
    """Return what the present integrations of a tenant that hear this type need, also the paused ones."""
    its = Position.objects.filter(destination__tenant=tenant, destination__deleted_at=None)
    return [
        Needed(one.destination_id, one.place, one.replay, one.until)
        for one in its.select_related("destination")
        if type in one.destination.event_types
    ]


def give_up_unstreamed(tenant: Tenant, needed: Sequence[Needed], events: Sequence[Any], until: datetime) -> None:
    """Move integrations past those of these events that came before `until`: they have waited long enough.

    Changes `needed` too. Without days of its own a tenant waits for ever, and nothing is moved.
    """
    places = [LogPlace(event.xid, event.id) for event in events if event.received_at < until]
    if not places:
        return
    place = max(places)
    for one in needed:
        waits = one.place < place or (one.replay is not None and one.replay < place)
        if waits and move_past(one.destination_id, place):
            one.place, one.replay = max(one.place, place), None
            log.warning(
                "integration %d of %s was moved past unsent events: %s", one.destination_id, tenant.id, place
            )


def move_past(destination_id: int, place: LogPlace) -> bool:
    """Move one integration forward, if no other process has it locked. Return whether it was moved."""
    with transaction.atomic():
        found = Position.objects.filter(destination_id=destination_id)
        position = found.select_for_update(skip_locked=True, no_key=True).first()
        if position is None:
            return False
        Position.objects.move(destination_id, max(place, position.place))
    return True
