"""Prepare: makes messages of claimed deliveries, with their marks and what is remembered of their incidents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsinks import telemetry
from eventsinks.destinations.base import AnyDestinationType, EventRefused, Message, SendFailure, Temporary
from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.reading import Readings
from eventsinks.lib.net.wire import Request
from eventsinks.limits.isolation import isolate, note_harm
from eventsinks.models import Delivery, Incident
from eventsinks.models.delivery import ClaimedDelivery
from eventsinks.models.secrets.masking import mask_failure
from eventsinks.sending.judge import log_fault

log = logging.getLogger(__name__)

READINGS = Readings()  # one per process: an alert is parsed once for all of its sinks


class ReadySink(NamedTuple):
    """An opened sink, as it was at `version`."""

    version: int
    kind: AnyDestinationType
    template: AlertTemplate | None
    rate_key: str


def make_messages(
    claimed: Sequence[ClaimedDelivery], ready: Mapping[int, ReadySink]
) -> list[Message | SendFailure]:
    """Return the message of each delivery, or why there is none. A sink that is not open gets a message too.

    All are made together. If that fails, each is made alone, so that a bad delivery harms no other.
    """
    with isolate("the messages of a claim are made one by one"):
        return make_together(claimed, ready)
    return [make_alone(one, ready) for one in claimed]


def make_alone(claimed: ClaimedDelivery, ready: Mapping[int, ReadySink]) -> Message | SendFailure:
    """Return the message of one delivery, or why there is none."""
    try:
        return make_together([claimed], ready)[0]
    except Exception as error:
        note_harm(error, f"no message could be made of {claimed.id}")
        return Temporary(f"no message could be made of it: {error!r}")


def make_together(
    claimed: Sequence[ClaimedDelivery], ready: Mapping[int, ReadySink]
) -> list[Message | SendFailure]:
    """Return the message of each delivery, with its mark and what is remembered of its incident."""
    marks = find_marks(claimed)
    messages = [make_message(one, ready.get(one.destination_id), marks.get(one.id, "")) for one in claimed]
    remind_of_incidents(claimed, messages, ready)
    return messages


def make_message(claimed: ClaimedDelivery, ready: ReadySink | None, mark: str) -> Message | SendFailure:
    """Return one message, or why there is none: a newer version may have accepted a type unknown here."""
    try:
        type_ = event_type(claimed.event_type)
    except KeyError:
        return EventRefused(f"events of type {claimed.event_type} are not known here")
    template = ready.template if ready else None
    reading = READINGS.of(claimed.event_id, type_, bytes(claimed.data))
    return Message(
        claimed.id,
        type_,
        claimed.tenant_id,
        claimed.occurred_at,
        reading.data,
        template=template,
        mark=mark,
        reading=reading,
        replayed=claimed.replayed,
    )


def make_request(kind: AnyDestinationType, message: Message, at: datetime) -> Request:
    """Return the request that carries a message. Raises SendFailure, whatever went wrong."""
    try:
        request = kind.build([message], at)
    except SendFailure as failure:
        raise mask_failure(failure, kind) from None
    except Exception as error:  # a fault in a type must not stop the others
        log_fault(log, kind, f"{kind.key} could not build a request for {message.id}")
        refused = EventRefused(f"the request could not be built: {error!r}")
        raise mask_failure(refused, kind) from None
    if message.reading.budget.is_spent and not message.reading.is_counted:
        message.reading.is_counted = True
        telemetry.count_over_budget("templates")
    return request


def find_marks(claimed: Sequence[ClaimedDelivery]) -> dict[UUID, str]:
    """Return the text that goes before the title of each delivery that is a fallback."""
    parents = {one.fallback_of: one.id for one in claimed if one.fallback_of}
    if not parents:
        return {}
    found = Delivery.objects.filter(id__in=parents).values_list("id", "destination__name", "reason")
    return {
        parents[id]: f"[FALLBACK for {name}: {(reason or 'it waits there')[:200]}]" for id, name, reason in found
    }


def remind_of_incidents(
    claimed: Sequence[ClaimedDelivery], messages: Sequence[Message | SendFailure], ready: Mapping[int, ReadySink]
) -> None:
    """Add what is remembered of their incidents to the messages of types that remember."""
    remembering = {id for id, sink in ready.items() if sink.kind.remembers}
    if not remembering:
        return
    reminded: dict[tuple[int, str], Message] = {}
    for one, message in zip(claimed, messages, strict=True):
        if one.destination_id in remembering and isinstance(message, Message):
            with suppress(Exception):  # building the request reports what is wrong with it
                reminded[one.destination_id, message.summary.dedup_key] = message
    for place, memory in Incident.objects.memories(reminded).items():
        reminded[place].memory = memory
