"""Tidy: ends the deliveries that no worker will handle any more."""

from __future__ import annotations

from eventsinks.actions.clear import clear_deleted
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Destination, Incident
from eventsinks.models.delivery import find_sinks_with_lost, give_up_lost
from eventsinks.models.delivery.lost import AT_ONCE
from eventsinks.sending.judge import get_max_tries


def tidy_up() -> int:
    """Fail deliveries whose worker died on the last try; suppress those of deleted sinks. Return how many.

    Deliveries that another process has locked wait for the next time.
    """
    Incident.objects.forget_old()
    owed = Destination.objects.filter(id__in=find_sinks_with_lost(get_max_tries())).values_list("tenant_id", "id")
    return clear_deleted() + do_in_turns(list(owed), give_up_some)


def give_up_some(destination_id: int) -> tuple[int, bool]:
    """Fail some such deliveries of one destination. Return how many moved, and whether there may be more."""
    moved = give_up_lost(get_max_tries(), destination_id)
    return moved, moved == AT_ONCE
