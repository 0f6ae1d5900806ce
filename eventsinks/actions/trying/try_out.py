"""Try out: sends an event sink one alert now and shows the whole attempt. It counts nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson
from uuid_utils.compat import uuid7

from eventsinks.actions.trying.send_now import send_now
from eventsinks.destinations.base import AnyDestinationType, Message, SendFailure
from eventsinks.event_types import event_type
from eventsinks.event_types.documents import write_time
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.lib.net.http import Outcome
from eventsinks.lib.net.wire import Request, Response, Timings
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.limits.trials import hold_trial
from eventsinks.models import Destination, Event
from eventsinks.models.database.sql import clean_text
from eventsinks.models.secrets.masking import mask_bytes
from eventsinks.sending.judge import judge_outcome, make_excerpt, name_failure, name_outcome
from eventsinks.sending.open_sinks import describe_unreadable

MARK = "[TEST]"
NO_TIMINGS = Timings()


@dataclass(frozen=True, slots=True)
class TryOut:
    """One try with its evidence, without secrets: of the request it shows only method, host and body."""

    started_at: datetime
    outcome: str
    reason: str
    method: str = ""
    host: str = ""
    body: str = ""
    status: int | None = None
    excerpt: str = ""
    peer: str = ""
    timings: Timings = NO_TIMINGS


def try_out(sink: Destination, event: Event | None = None, initiator: Initiator = SYSTEM) -> TryOut:
    """Send `event`, or a sample alert, to a sink in any state, and return the whole attempt.

    The audit records the test before it is sent. Raises LimitReached.
    """
    audit.record_destination(audit.TESTED, sink, initiator, {"alert": event.key if event else "a sample"})
    now = datetime.now(UTC)
    try:
        kind = sink.opened()
    except (CannotOpen, ValueError, KeyError) as error:
        return TryOut(now, "gone", describe_unreadable(error))
    message = make_message(sink, event, now)
    try:
        with hold_trial(sink.tenant):
            request, outcome = send_now(kind, message, now)
    except SendFailure as failure:
        return TryOut(now, name_failure(failure), failure.reason)
    return show_evidence(kind, now, request, outcome, judge_outcome(kind, message, outcome)[0])


def show_evidence(
    kind: AnyDestinationType, now: datetime, request: Request, outcome: Outcome, failure: SendFailure | None
) -> TryOut:
    """Return what to show of a try, without the secrets of `kind`."""
    response = outcome if isinstance(outcome, Response) else None
    return TryOut(
        now,
        name_outcome(outcome, failure),
        failure.reason if failure else "",
        request.method,
        urlsplit(request.url).hostname or "",
        clean_text(mask_bytes(request.body, kind).decode("utf-8", "replace")),
        response.status if response else None,
        make_excerpt(response, kind),
        outcome.peer,
        outcome.timings,
    )


def make_message(sink: Destination, event: Event | None, now: datetime) -> Message:
    """Return the message of the given alert, or of a sample."""
    template = sink.template
    if event is not None:
        type_, occurred_at, data = event.event_type, event.occurred_at, bytes(event.data)
    else:
        type_, occurred_at, data = event_type("detection_alert"), now, orjson.dumps(make_sample(sink, now))
    return Message(uuid7(), type_, sink.tenant_id, occurred_at, data, template=template, mark=MARK)


def make_sample(sink: Destination, now: datetime) -> dict[str, object]:
    """Return an alert that says that it is a test."""
    return {
        "id": f"test-{int(now.timestamp() * 1000)}",
        "tenant_id": str(sink.tenant_id),
        "name": f"Test alert for {sink.name}",
        "description": "Somebody pressed “test”. Nothing has happened.",
        "severity": "Informational",
        "severity_id": 1,
        "status": "firing",
        "tags": ["test"],
        "detected_in_time_range": {"start": write_time(now), "end": write_time(now)},
        "timestamp": int(now.timestamp() * 1_000_000_000),
        "staging": False,
        "results_table": {
            "columns": ["user", "action"],
            "rows": [{"user": "nobody", "action": "test"}],
            "total_row_count": 1,
        },
    }
