"""Probe: try a connection before it is kept, with one message that says it is a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from eventsinks.actions.configure import guard, not_configurable
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import AnyDestinationType, Batch, ClientType, Message, Receipt, Temporary
from eventsinks.event_types import event_type
from eventsinks.event_types.documents import written
from eventsinks.lib.http import exchange_once, outlet
from eventsinks.lib.wire import ExchangeFailed
from eventsinks.models import Destination
from eventsinks.models.destination import endpoints

TIMEOUT = 10.0  # seconds that whoever configures is kept waiting; a vendor's client has its own
NOBODY = UUID(int=0)  # the tenant of a message that is no tenant's event


def probe(kind: AnyDestinationType) -> None:
    """Send one test message and read the answer. Raises SendFailure, whatever it was that went wrong."""
    now = datetime.now(UTC)
    message = test_message(now)
    if isinstance(kind, ClientType):
        kind.guard = guard()
        receipt = kind.send(Batch(uuid7(), 0, [message]), now)
    else:
        receipt = exchanged(kind, message, now)
    for failure in (receipt.failures or {}).values():
        raise failure


def ready_with(type: str, config: Mapping[str, Any]) -> AnyDestinationType:
    """Return the destination type of this key as a new destination would have it. Raises NotConfigurable."""
    kind = destination_type(type)
    try:
        made = kind.Config.model_validate(dict(config), context={"guard": guard()})
    except ValidationError as error:
        raise not_configurable(error) from None
    return kind(made, (), endpoints())


def ready_after(destination: Destination, changes: Mapping[str, Any]) -> AnyDestinationType:
    """Return the type of `destination` as it would be after `changes` of its config. Raises NotConfigurable."""
    kind = destination.opened()
    try:
        changed = kind.config.changed(changes, guard())
    except ValidationError as error:
        raise not_configurable(error) from None
    return type(kind)(changed, kind.signing_keys, kind.endpoints)


def exchanged(kind: AnyDestinationType, message: Message, now: datetime) -> Receipt:
    """Send a message over HTTP and return what came of it. Raises SendFailure."""
    request = kind.build([message], now)
    try:
        with outlet(guard(), TIMEOUT) as way_out:
            response = exchange_once(way_out, request, TIMEOUT + 1.0)
    except ExchangeFailed as error:
        raise Temporary(f"{error.reason}: {error.message}") from None
    return kind.read(response, [message])


def test_message(now: datetime) -> Message:
    """Return the message: NetBird's "integration test"."""
    document = {
        "id": f"test-event-{int(now.timestamp())}",
        "timestamp": written(now),
        "activity": "Integration test",
        "activity_code": "integration.test",
        "initiator_id": "netbird",
        "initiator_name": "",
        "initiator_email": "",
        "target_id": "netbird",
        "meta": {"purpose": "configuration-test"},
    }
    return Message(uuid7(), event_type("audit"), NOBODY, now, orjson.dumps(document))
