"""Blame: whose fault it is that events of a batch were not taken, one event's or the whole destination's.

A receiver that chokes on one event takes its neighbours; one that is set up wrongly takes nothing. So what was
refused leaves the stream's way, and is tried again on its own, as long as others are taken. Once REFUSALS in a row
were refused and none was taken, it is the destination: the stream stands and says why, and after the repair
everything arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eventsinks.destinations.base import EventRefused, SendFailure, Temporary, TooLarge
from eventsinks.models import Batch, Position

REFUSALS = 5  # events that are refused in a row, with none taken, before it is the destination
BUSY = 429  # the far end takes no more for now: never an event's fault


class Faults(NamedTuple):
    """What came of one try. `refused` will never be taken, which we know without asking; `suspected` were refused
    or failed where others were taken, or may be; `left` stays in the stream. `refusals` counts those that the far
    end refused where it took none.
    """

    taken: int
    refused: Mapping[int, SendFailure]
    suspected: Mapping[int, SendFailure]
    left: list[int]
    refusals: int


def find_faults(position: Position, batch: Batch, failures: Mapping[int, SendFailure]) -> Faults:
    """Return whose fault each failure is. `failures` are by event id."""
    failed = {id: failures[id] for id in batch.members if id in failures}
    ours = {id: failure for id, failure in failed.items() if is_certain(failure)}
    theirs = {
        id: failure for id, failure in failed.items() if isinstance(failure, EventRefused) and id not in ours
    }
    taken = len(batch.members) - len(failed)
    if taken:
        strangers = {id: failure for id, failure in failed.items() if may_be_fault_of_event(failure)}
        suspected = theirs | (strangers if len(strangers) <= taken else {})
        refusals = 0
    else:
        refusals = len(theirs)
        suspected = dict(theirs) if position.refused_in_a_row + refusals < REFUSALS else {}
    left = [id for id in failed if id not in ours and id not in suspected]
    return Faults(taken, ours, suspected, left, refusals)


def is_certain(failure: SendFailure) -> bool:
    """Whether an event can't be sent at all, whoever is asked: nothing went out."""
    return isinstance(failure, EventRefused) and failure.response is None


def may_be_fault_of_event(failure: SendFailure) -> bool:
    """Whether the far end answered to this event, and did not say that it is busy."""
    if not isinstance(failure, Temporary) or isinstance(failure, TooLarge) or failure.response is None:
        return False
    return failure.response.status != BUSY and not failure.retry_after


def is_refused_for_good(position: Position, failure: SendFailure | None) -> bool:
    """Whether an event that was refused when it was tried on its own is given up: where others are taken."""
    return isinstance(failure, EventRefused) and (is_certain(failure) or not position.refused_in_a_row)
