"""Streamer: sends an integration the next events of its tenant's log, batch by batch, in order.

It leases the integration, takes its open batch or saves the members of the next one, sends it and settles it. No
transaction is open during a request. If a worker dies, the saved batch remains: the next worker sends the same
events in the same order under the same id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from eventsinks.destinations.base import (
    AnyDestinationType,
    ClientType,
    DestinationGone,
    EventRefused,
    Message,
    SendFailure,
    Temporary,
)
from eventsinks.destinations.base import MessageBatch as Parcel
from eventsinks.event_types import EVENT_TYPES
from eventsinks.lib.net.http import Exchange
from eventsinks.lib.net.wire import Response
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.limits.address_guard import make_guard
from eventsinks.mappings import mapping
from eventsinks.models import Batch, Destination, Position
from eventsinks.models.database import sql
from eventsinks.models.delivery import ClaimedDelivery, Lane, claim, settle
from eventsinks.models.stream import find_dead_letters_due, read_members
from eventsinks.models.stream.read import Logged
from eventsinks.sending.hold import forget_doubts, hold_or_park, park, weigh_failure
from eventsinks.sending.judge import get_max_tries, make_settlement
from eventsinks.sending.open_sinks import describe_unreadable
from eventsinks.streaming.blame import is_refused_for_good
from eventsinks.streaming.health import is_probing, may_send_batch, record_batch
from eventsinks.streaming.line import write_batch_line
from eventsinks.streaming.manifest import write_manifests
from eventsinks.streaming.next_batch import open_next_batch
from eventsinks.streaming.settle_batch import is_replayed, settle_batch
from eventsinks.streaming.transmit import MARGIN, BatchOutcome, transmit

log = logging.getLogger(__name__)

REFUSED_PAUSE = 60.0  # seconds until an event is tried alone again, while the destination accepts nothing
LOCKED_PAUSE = 5.0  # seconds; while another process has locked a destination, it can't be held or parked
APART_AT_ONCE = 20  # events that are tried alone before the stream goes on


def stream(destination_id: int, exchange: Exchange, stopping: Callable[[], bool] = lambda: False) -> int:
    """Send to an integration until nothing is left or it must wait. Return the number of batches."""
    sent = 0
    ready: tuple[int, AnyDestinationType] | None = None  # with its destination's version
    while not stopping():
        position = Position.objects.lease(destination_id, settings.EVENTSINKS_LEASE)
        if position is None:
            return sent
        if ready is None or ready[0] != position.destination.version:
            kind = open_type(position)
            if kind is None:
                return sent
            ready = position.destination.version, kind
        if not send_past_locks(position, ready[1], exchange):
            return sent
        sent += 1
        Position.objects.release(position)
    return sent


def open_type(position: Position) -> AnyDestinationType | None:
    """Return the integration's type, ready to send. If that fails, park the integration and return None."""
    destination = position.destination
    try:
        kind = destination.opened()
    except (CannotOpen, ValueError, KeyError) as error:
        parked = park(destination.id, destination.version, describe_unreadable(error))
        Position.objects.release(position, LOCKED_PAUSE if parked is None else 0.0)
        return None
    if isinstance(kind, ClientType):
        kind.guard = make_guard()
    return kind


def send_past_locks(position: Position, kind: AnyDestinationType, exchange: Exchange) -> bool:
    """Send what is next. If another process's lock prevents it, release the integration for a while."""
    try:
        return send_next(position, kind, exchange)
    except OperationalError as error:
        if not sql.is_locked(error):
            raise
        log.warning("the stream to %s met a lock: %s", position.destination_id, error)
        with suppress(OperationalError):  # if its position is locked, its lease runs out
            Position.objects.release(position, LOCKED_PAUSE)
        return False


def send_next(position: Position, kind: AnyDestinationType, exchange: Exchange) -> bool:
    """Send what is next. Return whether the stream may go on at once; if not, release the integration."""
    if not is_probing(position.destination) and not send_beside(position, kind, exchange):
        return False
    with sql.wait_shortly():  # nothing has been sent yet, so nothing must be settled
        batch = position.open_batch() or open_next_batch(position, kind)
    return batch is not None and send_batch(position, kind, batch, exchange)


def send_beside(position: Position, kind: AnyDestinationType, exchange: Exchange) -> bool:
    """Send what is no new batch: dead letters and manifests. If the batches must wait, release, return False."""
    deadline = time.monotonic() + settings.EVENTSINKS_LEASE - MARGIN
    if not send_replayed(position, kind, exchange, deadline):
        Position.objects.release(position)
        return False
    if (pause := write_manifests(position, kind)) is not None:
        Position.objects.release(position, pause)
        return False
    return True


def send_batch(position: Position, kind: AnyDestinationType, batch: Batch, exchange: Exchange) -> bool:
    """Send a batch once and settle it. Return whether the stream may go on at once."""
    limit, destination = kind.limits.max_event_bytes, position.destination
    replayed = is_replayed(position, batch)
    refused: dict[int, SendFailure] = {}
    ids: dict[UUID, int] = {}
    messages = []
    for event in read_members(batch.members):
        try:
            if len(event.data) > limit:
                raise EventRefused(f"is larger than the {limit} bytes that {kind.label} takes")
            messages.append(make_message(destination, make_message_id(destination.id, event.id), event, replayed))
            ids[messages[-1].id] = event.id
        except EventRefused as failure:
            refused[event.id] = failure
    sent = BatchOutcome({})
    if messages:
        # The steps before took time. No other worker may begin this batch while it is being sent.
        if not Position.objects.renew(position, settings.EVENTSINKS_LEASE):
            return False
        if not may_send_batch(destination):
            Position.objects.release(position, LOCKED_PAUSE)
            return False
        parcel = Parcel(batch.id, batch.number, messages)
        sent = transmit(kind, parcel, datetime.now(UTC), exchange, settings.EVENTSINKS_LEASE - MARGIN)
    by_event = refused | {ids[id]: failure for id, failure in sent.failures.items()}
    members = list(batch.members)
    goes_on = settle_batch(position, batch, by_event, sent.status, sent.stored)
    write_batch_line(destination, batch, members, by_event, status=sent.status, replayed=replayed)
    record_batch(destination, batch.members, by_event)
    return goes_on


def send_replayed(position: Position, kind: AnyDestinationType, exchange: Exchange, deadline: float) -> bool:
    """Send the dead letters that are due, each alone.

    Return whether there is time for more, and the integration's state allows it.
    """
    destination = position.destination
    for _ in range(APART_AT_ONCE):
        tries = find_dead_letters_due(destination.id, get_max_tries())
        if tries is None:
            return True
        lane = Lane(destination.id, tries, destination.version)
        claimed = claim([(lane, 1)], settings.EVENTSINKS_LEASE)
        if not claimed:
            return True
        failure = send_again(claimed[0], position, kind, exchange, deadline - time.monotonic())
        if not hold_or_park(destination.id, destination.version, failure):
            Position.objects.release(position, LOCKED_PAUSE)
        if has_to_wait(failure) or time.monotonic() > deadline - settings.EVENTSINKS_TIMEOUT:
            return False
    return True


def has_to_wait(failure: SendFailure | None) -> bool:
    """Return whether nothing more may be sent to the destination for now."""
    return isinstance(failure, DestinationGone) or bool(getattr(failure, "retry_after", None))


def send_again(
    claimed: ClaimedDelivery, position: Position, kind: AnyDestinationType, exchange: Exchange, seconds: float
) -> SendFailure | None:
    """Send one dead letter, under the id that it always had. Return why it was not accepted."""
    at, id = datetime.now(UTC), make_message_id(position.destination_id, claimed.event_id)
    event = Logged(claimed.event_id, 0, claimed.event_type, claimed.occurred_at, claimed.data)
    failure: SendFailure | None
    response: Response | None = None
    try:
        parcel = Parcel(claimed.id, 0, [make_message(position.destination, id, event, claimed.replayed)])
        sent = transmit(kind, parcel, at, exchange, seconds)
        failure = sent.failures.get(id)
        response = failure.response if failure and failure.response else sent.response
    except EventRefused as refused:
        failure = refused
    if isinstance(failure, EventRefused) and not is_refused_for_good(position, failure):
        # The destination accepts nothing. That is not this event's fault, and the try does not count.
        waits = DestinationGone(failure.reason, failure.response)
        settle([make_settlement(claimed, at, response, waits, kind)._replace(pause=REFUSED_PAUSE)])
        return Temporary(failure.reason, failure.response)
    failure = weigh_failure(position.destination_id, position.destination.version, failure)
    settle([make_settlement(claimed, at, response, failure, kind)])
    if failure is None:
        Position.objects.goes_on(position)
        if position.destination.doubts:
            forget_doubts(position.destination_id)
    return failure


def make_message(destination: Destination, id: UUID, event: Logged, replayed: bool = False) -> Message:
    """Return an event in the form that the integration gets. Raises EventRefused if there is no such form."""
    type_ = EVENT_TYPES.get(event.type)
    if type_ is None:  # a newer version may have accepted it
        raise EventRefused(f"events of type {event.type} are not known here")
    try:
        data = mapping(destination.mapping).written(type_, bytes(event.data), event.occurred_at)
    except Exception as error:  # a fault in a mapping must not stop the others
        log.exception("%s could not map event %s", destination.mapping, event.id)
        raise EventRefused(f"could not be put into the form {destination.mapping}: {error!r}") from error
    return Message(
        id, type_, destination.tenant_id, event.occurred_at, data, destination.mapping, replayed=replayed
    )


def make_message_id(destination_id: int, event_id: int) -> UUID:
    """Return the id of one event at one integration; it is the same in every try."""
    return UUID(int=destination_id << 64 | event_id)
