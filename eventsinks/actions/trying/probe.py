"""Probe: tests a connection before it is stored, with one message that says that it is a test."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from eventsinks.actions.config import change_config, check_config
from eventsinks.actions.trying.send_now import send_now
from eventsinks.destinations import destination_type
from eventsinks.destinations.base import (
    AnyDestinationType,
    ClientType,
    Message,
    MessageBatch,
    Receipt,
    SendFailure,
)
from eventsinks.event_types import event_type
from eventsinks.event_types.documents import write_time
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.lib.net.wire import ExchangeFailed
from eventsinks.lib.secrets.signing import decode_key
from eventsinks.limits.address_guard import make_guard
from eventsinks.limits.trials import hold_trial
from eventsinks.mappings import MAPPINGS
from eventsinks.models import Destination, Tenant
from eventsinks.models.destination import make_endpoints
from eventsinks.sending.judge import explain_no_answer, make_excerpt
from eventsinks.streaming.transmit import spread_outcome

NOBODY = UUID(int=0)  # the tenant of a test message, which belongs to none


def probe_connection(tenant: Tenant, kind: AnyDestinationType, mapping: str | None = None) -> Receipt:
    """Send one test message in a mapping, or in the type's usual one. Return its receipt.

    Raises SendFailure for whatever went wrong, and LimitReached.
    """
    with hold_trial(tenant):
        return send_test_message(kind, mapping or kind.usual_mapping)


def send_test_message(kind: AnyDestinationType, mapping: str) -> Receipt:
    """Send the test message. Raises SendFailure."""
    now = datetime.now(UTC)
    message = make_test_message(now, mapping)
    if isinstance(kind, ClientType):
        kind.guard = make_guard()
        client, batch = kind, MessageBatch(uuid7(), 0, [message])
        found = spread_outcome(kind, lambda: client.send(batch, now), [message])
    else:
        found = spread_outcome(kind, lambda: exchange_message(kind, message, now), [message])
    for failure in found.failures.values():
        raise failure
    return Receipt(found.response, stored=found.stored)


def make_new_type(type: str, config: Mapping[str, Any], signing_secret: str) -> AnyDestinationType:
    """Return the destination type with this key, as a new destination would have it. Raises NotConfigurable."""
    return destination_type(type)(check_config(type, config), [decode_key(signing_secret)], make_endpoints())


def make_changed_type(destination: Destination, changes: Mapping[str, Any]) -> AnyDestinationType:
    """Return the type of `destination`, as it would be after `changes` of its config. Raises NotConfigurable."""
    changed = change_config(destination, changes)
    keys = [decode_key(destination.signing_secret)] if destination.sealed_signing_secret else []
    return destination.kind(changed, keys, make_endpoints())


def exchange_message(kind: AnyDestinationType, message: Message, now: datetime) -> Receipt:
    """Send a message over HTTP and return the receipt. Raises SendFailure."""
    _, outcome = send_now(kind, message, now)
    if isinstance(outcome, ExchangeFailed):
        raise explain_no_answer(outcome)
    return kind.read(outcome, [message])


def make_test_message(now: datetime, mapping: str) -> Message:
    """Return the test message in this mapping: NetBird's "integration test"."""
    document = {
        "id": f"test-event-{int(now.timestamp())}",
        "timestamp": write_time(now),
        "activity": "Integration test",
        "activity_code": "integration.test",
        "initiator_id": "netbird",
        "initiator_name": "",
        "initiator_email": "",
        "target_id": "netbird",
        "meta": {"purpose": "configuration-test"},
    }
    audit_event = event_type("audit")
    data = MAPPINGS[mapping].written(audit_event, orjson.dumps(document), now)
    return Message(uuid7(), audit_event, NOBODY, now, data, mapping)


def probe_destination(destination: Destination, initiator: Initiator = SYSTEM) -> dict[str, Any]:
    """Send the test message to a destination as it is now, and return the result.

    The audit records the test before it is sent. Raises NotConfigurable and LimitReached.
    """
    kind = make_changed_type(destination, {})
    audit.record_destination(audit.TESTED, destination, initiator)
    reason, response, started = "", None, time.monotonic()
    try:
        response = probe_connection(destination.tenant, kind, destination.mapping).response
    except SendFailure as failure:
        reason, response = failure.reason, failure.response
    return {
        "taken": not reason,
        "reason": reason,
        "status": response.status if response else None,
        "answer": make_excerpt(response, kind),
        "duration_ms": round((time.monotonic() - started) * 1000, 1),
    }
