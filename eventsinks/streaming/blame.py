"""Blame: decides whether one event or the whole destination caused a failure of a batch.

A receiver that fails on one event fails on its neighbours too; a receiver with a wrong setup accepts nothing. So a
refused event leaves the stream and is tried again alone, as long as other events are accepted. After REFUSALS
refusals in a row without a success, the destination is the cause: the stream stops and says why. After the repair
everything arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eventsinks.destinations.base import EventRefused, SendFailure, Temporary, TooLarge
from eventsinks.models import Batch, Position

REFUSALS = 5  # refused events in a row, with none accepted, after which the destination is the cause
BUSY = 429  # the far end accepts no more for now: never an event's fault


class Faults(NamedTuple):
    """The result of one try.

    `refused` events can never be sent; we know this without asking. `suspected` events were refused or failed
    while others were accepted, or may be accepted. `left` events stay in the stream. `refusals` counts the events
    that the far end refused when it accepted none.
    """

    taken: int
    refused: Mapping[int, SendFailure]
    suspected: Mapping[int, SendFailure]
    left: list[int]
    refusals: int


def find_faults(position: Position, batch: Batch, failures: Mapping[int, SendFailure]) -> Faults:
    """Return whose fault each failure is. The keys of `failures` are event ids."""
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
    """Return whether an event can't be sent to anybody: no request went out."""
    return isinstance(failure, EventRefused) and failure.response is None


def may_be_fault_of_event(failure: SendFailure) -> bool:
    """Return whether the far end answered to this event, and did not say that it is busy."""
    if not isinstance(failure, Temporary) or isinstance(failure, TooLarge) or failure.response is None:
        return False
    return failure.response.status != BUSY and not failure.retry_after


def is_refused_for_good(position: Position, failure: SendFailure | None) -> bool:
    """Return whether to give up an event that was refused when it was tried alone: yes, if others are accepted."""
    return isinstance(failure, EventRefused) and (is_certain(failure) or not position.refused_in_a_row)
