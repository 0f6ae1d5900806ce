"""Status: one word that says whether a destination sends. The API and the admin use this rule.

Most words are those of the state. Two differ: a destination that the service itself has stopped is `disabled`
(its state is `parked`), and an active one that pauses because the far end asked for it is `held`.
"""

from __future__ import annotations

from enum import StrEnum

from eventsinks.actions.obstacles import Obstacle, find_obstacle_of_sink
from eventsinks.models import Destination


class DestinationStatus(StrEnum):
    """Whether a destination that is not deleted sends, and if not, why."""

    ACTIVE = "active"  # it sends
    PAUSED = "paused"  # a person stopped it
    DISABLED = "disabled"  # the service stopped it: the far end refuses everything until somebody repairs it
    HELD = "held"  # the far end asked for a pause, which ends by itself
    RESUMING = "resuming"  # it sends again as soon as the backlog that it skips is suppressed


STATUSES = {
    Obstacle.PAUSED: DestinationStatus.PAUSED,
    Obstacle.PARKED: DestinationStatus.DISABLED,
    Obstacle.HELD: DestinationStatus.HELD,
    Obstacle.RESUMING: DestinationStatus.RESUMING,
}


def find_status(destination: Destination) -> DestinationStatus:
    """Return the status of a destination that is not deleted."""
    found = find_obstacle_of_sink(destination)
    return STATUSES[found.obstacle] if found else DestinationStatus.ACTIVE
