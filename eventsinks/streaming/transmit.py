"""Transmit: sends the messages of a batch in as many requests as the type needs, and judges the answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsinks.destinations.base import (
    AnyDestinationType,
    BatchLimits,
    ClientType,
    EventRefused,
    Message,
    MessageBatch,
    Receipt,
    SendFailure,
    Temporary,
    TooLarge,
)
from eventsinks.lib.net.http import Exchange, Outcome
from eventsinks.lib.net.wire import ExchangeFailed, Response
from eventsinks.models.secrets.masking import mask_failure, mask_text
from eventsinks.sending.judge import explain_no_answer, log_fault

log = logging.getLogger(__name__)

MARGIN = 10.0  # seconds of a lease that are reserved for settling

Failures = dict[UUID, SendFailure]


class BatchOutcome(NamedTuple):
    """The result of a batch: the failures by message (empty if all were accepted), and the last response."""

    failures: Failures
    response: Response | None = None
    stored: Sequence[Mapping[str, Any]] = ()

    @property
    def status(self) -> int | None:
        """The status of the last response."""
        return self.response.status if self.response else None


def transmit(
    kind: AnyDestinationType, batch: MessageBatch, at: datetime, exchange: Exchange, seconds: float
) -> BatchOutcome:
    """Send a batch within `seconds`, and return its outcome."""
    if isinstance(kind, ClientType):
        kind.seconds = seconds
        return spread_outcome(kind, lambda: kind.send(batch, at), batch.messages)
    failures: Failures = {}
    last: Response | None = None
    started: dict[object, Sequence[Message]] = {}
    for messages in split_into_requests(batch.messages, kind.limits):
        try:
            request = kind.build(messages, at)
        except SendFailure as failure:
            failures |= dict.fromkeys([message.id for message in messages], mask_failure(failure, kind))
        except Exception as error:  # a fault in a type; halving the batch finds the event that causes it
            log_fault(log, kind, f"{kind.key} could not build a request")
            reason = mask_text(f"the request could not be built: {error!r}", kind)
            fault = TooLarge(reason) if len(messages) > 1 else EventRefused(reason)
            failures |= dict.fromkeys([message.id for message in messages], fault)
        else:
            token = object()  # tells this batch's answers from those that another batch left in the exchange
            started[token] = messages
            exchange.start(request, token)
    for token, outcome in collect_answers(exchange, started, seconds):
        found = judge_answer(kind, started[token], outcome)
        failures |= found.failures
        last = found.response or last
    return BatchOutcome(failures, last)


def split_into_requests(messages: Sequence[Message], limits: BatchLimits) -> Iterator[Sequence[Message]]:
    """Yield the messages of each request, in order and within the type's limits."""
    portion: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.data) + 1
        if portion and (len(portion) >= limits.max_events or size + length > limits.max_bytes):
            yield portion
            portion, size = [], 0
        portion.append(message)
        size += length
    if portion:
        yield portion


def collect_answers(
    exchange: Exchange, started: Collection[object], seconds: float
) -> Iterator[tuple[object, Outcome]]:
    """Yield the outcome of each request. A request without an answer in time yields a timeout."""
    waiting = set(started)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for token, outcome in exchange.poll(1.0):
            if token in waiting:
                waiting.discard(token)
                yield token, outcome
    for token in waiting:
        yield token, ExchangeFailed("timeout", f"no answer within {seconds:g} s", outcome_unknown=True)


def judge_answer(kind: AnyDestinationType, messages: Sequence[Message], outcome: Outcome) -> BatchOutcome:
    """Return the outcome of one request."""
    if isinstance(outcome, ExchangeFailed):
        failure = mask_failure(explain_no_answer(outcome), kind)
        return BatchOutcome(dict.fromkeys([message.id for message in messages], failure))
    return spread_outcome(kind, lambda: kind.read(outcome, messages), messages)


def spread_outcome(
    kind: AnyDestinationType, asked: Callable[[], Receipt], messages: Sequence[Message]
) -> BatchOutcome:
    """Return the receipt as failures by message. If a failure is raised instead, it applies to every message."""
    try:
        receipt = asked()
    except SendFailure as failure:
        mask_failure(failure, kind)
        return BatchOutcome(dict.fromkeys([message.id for message in messages], failure), failure.response)
    except Exception as error:  # a fault in a type, or an answer it did not expect: the stream waits, and says why
        log_fault(log, kind, "a batch could not be sent")
        failed = mask_failure(Temporary(f"it could not be sent: {error!r}"), kind)
        return BatchOutcome(dict.fromkeys([message.id for message in messages], failed))
    failures = {id: mask_failure(failure, kind) for id, failure in (receipt.failures or {}).items()}
    return BatchOutcome(failures, receipt.response, receipt.stored)
