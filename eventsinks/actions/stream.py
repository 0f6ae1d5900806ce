"""Stream: send an integration the next events of its tenant's log, batch by batch, in order.

Lease the integration, take its open batch or save the membership of the next one, send, settle; nothing is open
while we talk to the world. A worker that dies leaves the batch as it was saved: the next one sends the same events
in the same order under the same id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings

from eventsinks.actions.configure import guard
from eventsinks.actions.deliver import hold_or_park
from eventsinks.actions.hold import park
from eventsinks.actions.judge import max_tries, settlement
from eventsinks.actions.settle_batch import settle_batch
from eventsinks.actions.transmit import Failures, transmit
from eventsinks.destinations.base import (
    AnyDestinationType,
    ClientType,
    DestinationGone,
    EventRefused,
    Message,
    SendFailure,
)
from eventsinks.destinations.base import Batch as Parcel
from eventsinks.event_types import event_type
from eventsinks.lib.crypto import CannotOpen
from eventsinks.lib.http import Exchange
from eventsinks.lib.wire import Response
from eventsinks.mappings import mapping
from eventsinks.models import Batch, Position
from eventsinks.models.delivery import Claimed, claim, due_lanes, settle
from eventsinks.models.stream import last_settled, look_ahead, read_members
from eventsinks.models.stream.read import Logged, Next

log = logging.getLogger(__name__)

MARGIN = 10.0  # seconds of a lease that are kept for settling


def stream(destination_id: int, exchange: Exchange, stopping: Callable[[], bool] = lambda: False) -> int:
    """Send what an integration is owed until there is nothing more, or it must wait. Return how many batches."""
    sent = 0
    ready: tuple[int, AnyDestinationType] | None = None  # with the version that it was made of
    while not stopping():
        position = Position.objects.lease(destination_id, settings.EVENTSINKS_LEASE)
        if position is None:
            return sent
        if ready is None or ready[0] != position.destination.version:
            kind = opened(position)
            if kind is None:
                return sent
            ready = position.destination.version, kind
        if not send_next(position, ready[1], exchange):
            return sent
        sent += 1
        Position.objects.release(position)
    return sent


def opened(position: Position) -> AnyDestinationType | None:
    """Return the integration's type, ready to send; None, and the integration parked, where that can't be."""
    destination = position.destination
    try:
        kind = destination.opened()
    except (CannotOpen, ValueError, KeyError) as error:
        park(destination.id, destination.version, f"its configuration can't be read: {error}")
        Position.objects.release(position)
        return None
    if isinstance(kind, ClientType):
        kind.guard = guard()
    return kind


def send_next(position: Position, kind: AnyDestinationType, exchange: Exchange) -> bool:
    """Send what is next. Return whether the stream may go on at once; the integration is given back if not."""
    deadline = time.monotonic() + settings.EVENTSINKS_LEASE - MARGIN
    if not send_replayed(position, kind, exchange, deadline):
        Position.objects.release(position)
        return False
    batch = position.open_batch() or next_batch(position, kind)
    return batch is not None and send(position, kind, batch, exchange, deadline)


def next_batch(position: Position, kind: AnyDestinationType) -> Batch | None:
    """Save the membership of the next batch. None, and the integration given back, where it is not time."""
    limits, destination = kind.limits, position.destination
    most = limits.max_events * limits.max_requests
    end = last_settled(destination.tenant_id)
    found = look_ahead(destination.tenant_id, destination.event_types, position.place, most)
    if not found:
        Position.objects.skip(position, end)  # or each look would walk through all that is not for it
        Position.objects.release(position)
        return None
    fitting = within_bytes(found, limits.max_bytes * limits.max_requests)
    if len(found) < most and len(fitting) == len(found) and found[0].age < limits.linger:
        Position.objects.release(position, min(limits.linger - found[0].age, limits.linger))
        return None
    return position.save_batch(fitting)


def within_bytes(events: Sequence[Next], most: int) -> Sequence[Next]:
    """Return as many of the first events as have at most `most` bytes together, and at least one."""
    total = 0
    for count, event in enumerate(events):
        total += event.size + 1
        if total > most and count:
            return events[:count]
    return events


def send(position: Position, kind: AnyDestinationType, batch: Batch, exchange: Exchange, deadline: float) -> bool:
    """Send a batch once and settle it. Return whether the stream may go on at once."""
    limit = kind.limits.max_event_bytes
    refused: dict[int, SendFailure] = {}
    ids: dict[UUID, int] = {}
    messages = []
    for event in read_members(batch.members):
        try:
            if len(event.data) > limit:
                raise EventRefused(f"is larger than the {limit} bytes that {kind.label} takes")
            messages.append(message(position, message_id(position.destination_id, event.id), event))
            ids[messages[-1].id] = event.id
        except EventRefused as failure:
            refused[event.id] = failure
    failures: Failures = {}
    response: Response | None = None
    if messages:
        parcel = Parcel(batch.id, batch.number, messages)
        seconds = deadline - time.monotonic()
        failures, response = transmit(kind, parcel, datetime.now(UTC), exchange, seconds)
    by_event = refused | {ids[id]: failure for id, failure in failures.items()}
    return settle_batch(position, batch, by_event, response.status if response else None)


def send_replayed(position: Position, kind: AnyDestinationType, exchange: Exchange, deadline: float) -> bool:
    """Send what was set aside before and is to be tried again, each event on its own.

    Return whether there is time left, and the integration in a state, for more.
    """
    destination = position.destination
    while True:
        lanes = [lane for lane in due_lanes(max_tries(), "integration") if lane.destination_id == destination.id]
        claimed = claim([(lane, 1) for lane in lanes[:1]], settings.EVENTSINKS_LEASE) if lanes else []
        if not claimed:
            return True
        failure = send_again(claimed[0], position, kind, exchange, deadline - time.monotonic())
        hold_or_park(destination.id, destination.version, failure)
        if isinstance(failure, DestinationGone) or time.monotonic() > deadline - settings.EVENTSINKS_TIMEOUT:
            return False


def send_again(
    claimed: Claimed, position: Position, kind: AnyDestinationType, exchange: Exchange, seconds: float
) -> SendFailure | None:
    """Send one event that was set aside, under the id it always had. Return why it was not taken."""
    at, id = datetime.now(UTC), message_id(position.destination_id, claimed.event_id)
    event = Logged(claimed.event_id, 0, claimed.event_type, claimed.occurred_at, claimed.data)
    failure: SendFailure | None
    response: Response | None = None
    try:
        parcel = Parcel(claimed.id, 0, [message(position, id, event)])
        failures, response = transmit(kind, parcel, at, exchange, seconds)
        failure = failures.get(id)
    except EventRefused as refused:
        failure = refused
    settle([settlement(claimed, at, response, failure)])
    return failure


def message(position: Position, id: UUID, event: Logged) -> Message:
    """Return an event as the integration's type is to see it. Raises EventRefused where there is no such form."""
    type_, destination = event_type(event.type), position.destination
    try:
        data = mapping(destination.mapping).written(type_, bytes(event.data), event.occurred_at)
    except Exception as error:  # a fault in a mapping must not stop the others
        log.exception("%s could not map event %s", destination.mapping, event.id)
        raise EventRefused(f"could not be put into the form {destination.mapping}: {error!r}") from error
    mapped = destination.mapping != "as_accepted"
    return Message(id, type_, destination.tenant_id, event.occurred_at, data, mapped=mapped)


def message_id(destination_id: int, event_id: int) -> UUID:
    """Return what names one event at one integration over every try."""
    return UUID(int=destination_id << 64 | event_id)
