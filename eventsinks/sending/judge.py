"""Judge: decides from the outcome of a request what happens to its delivery."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from uuid_utils import uuid7

from eventsinks.destinations.base import (
    AnyDestinationType,
    DestinationGone,
    EventRefused,
    Message,
    SendFailure,
    Temporary,
)
from eventsinks.lib.net.http import Outcome
from eventsinks.lib.net.wire import ExchangeFailed, Request, Response, Timings
from eventsinks.models.database.sql import clean_text
from eventsinks.models.delivery import ClaimedDelivery, Settlement
from eventsinks.models.secrets.masking import mask_bytes, mask_failure, mask_text
from eventsinks.sending.breaker import FIRST_PAUSE

log = logging.getLogger(__name__)

EXCERPT = 2048  # bytes of the response's body that are stored
LOOKED_AT = 4 * EXCERPT  # bytes that are searched for secrets, so that the cut does not hide one
JITTER = 0.2  # a pause is up to this share longer, so that deliveries that failed together do not return together


def get_max_tries() -> int:
    """Return how many tries a delivery gets."""
    return len(settings.EVENTSINKS_RETRY_SCHEDULE) + 1


Memory = Mapping[str, Any]


def judge_outcome(
    kind: AnyDestinationType, message: Message, outcome: Outcome
) -> tuple[SendFailure | None, Memory | None]:
    """Return why `message` did not arrive (None if it did), and what the type wants to remember of it.

    The destination type knows what a response means.
    """
    if isinstance(outcome, ExchangeFailed):
        return mask_failure(explain_no_answer(outcome), kind), None
    try:
        receipt = kind.read(outcome, [message])
    except SendFailure as failure:
        return mask_failure(failure, kind), None
    except Exception as error:  # a fault in a type, or an answer it did not expect, must not stop the others
        log_fault(log, kind, f"{kind.key} could not read the answer to {message.id}")
        return mask_failure(Temporary(f"the answer could not be read: {error!r}", outcome), kind), None
    found = (receipt.failures or {}).get(message.id)
    return found and mask_failure(found, kind), receipt.memory


def explain_no_answer(outcome: ExchangeFailed) -> SendFailure:
    """Return what a missing answer means. No later try can send a message that can't be written as a request."""
    reason = f"{outcome.reason}: {outcome.message}"
    return DestinationGone(reason) if outcome.reason == "bad_request" else Temporary(reason)


def log_fault(to: logging.Logger, kind: AnyDestinationType, about: str) -> None:
    """Log the current exception, without the secrets of `kind`."""
    to.error("%s\n%s", about, mask_text(traceback.format_exc().rstrip(), kind))


def make_settlement(
    claimed: ClaimedDelivery,
    started_at: datetime,
    outcome: Outcome | None,
    failure: SendFailure | None,
    kind: AnyDestinationType | None = None,
    *,
    probed: bool = False,
) -> Settlement:
    """Return the settlement of a delivery, with the attempt's data. `outcome` is None if nothing was sent.

    `probed`: the try was a probe of an open breaker.
    The stored part of the answer does not contain the secrets of `kind`.
    """
    response = outcome if isinstance(outcome, Response) else None
    state, pause, given_back = decide_next_state(claimed, failure, probed=probed)
    return Settlement(
        claimed,
        cast(UUID, uuid7()),
        state,
        name_outcome(outcome, failure),
        started_at,
        pause,
        given_back,
        response.status if response else None,
        clean_text(make_reason(failure, response)),
        make_excerpt(response, kind),
        outcome.peer if outcome else "",
        outcome.timings if outcome else Timings(),
    )


def make_reason(failure: SendFailure | None, response: Response | None) -> str:
    """Return the reason to record for a try: why it failed, and whether its answer was cut."""
    cut = f"the answer was cut: {response.cut}" if response and response.cut else ""
    return "; ".join(filter(None, [failure.reason if failure else "", cut]))


def decide_next_state(
    claimed: ClaimedDelivery, failure: SendFailure | None, *, probed: bool = False
) -> tuple[str, float, int]:
    """Return (state, seconds until it is due again, number of tries to give back).

    A probe asks about the sink, so its try does not count. It is due again after the others, or an event that
    makes the far end fail would be each probe.
    """
    if failure is None:
        return "delivered", 0.0, 0
    if isinstance(failure, DestinationGone):
        return "pending", 0.0, 1  # the sink is parked; the delivery waits, and the try does not count
    if isinstance(failure, EventRefused) or (claimed.tries >= get_max_tries() and not probed):
        return "failed", 0.0, 0
    pause = FIRST_PAUSE if probed else settings.EVENTSINKS_RETRY_SCHEDULE[claimed.tries - 1]
    asked = getattr(failure, "retry_after", None) or 0.0
    return "pending", max(pause, asked) * (1 + random.random() * JITTER), int(probed)


def make_following_request(
    kind: AnyDestinationType, message: Message, request: Request, outcome: Outcome
) -> Request | None:
    """Return the request that the type sends after `outcome` in the same try. Return None if there is none."""
    if not isinstance(outcome, Response):
        return None
    try:
        return kind.then(message, request, outcome)
    except Exception:  # the answer is read next; that reports the fault
        log_fault(log, kind, f"{kind.key} could not say what follows for {message.id}")
        return None


def name_outcome(outcome: Outcome | None, failure: SendFailure | None) -> str:
    """Return the word for an attempt's outcome: "unknown" if the far end may or may not have got the message."""
    unknown = isinstance(outcome, ExchangeFailed) and outcome.outcome_unknown
    return "unknown" if unknown else name_failure(failure)


def make_excerpt(response: Response | None, kind: AnyDestinationType | None) -> str:
    """Return the first part of the answer's body to store and show, without the secrets of `kind`."""
    if not response or not response.body:
        return ""
    seen = mask_bytes(response.body[:LOOKED_AT], kind)
    return clean_text(seen[:EXCERPT].decode("utf-8", "replace"))


def name_failure(failure: SendFailure | None) -> str:
    """Return the word for an attempt's outcome."""
    if failure is None:
        return "delivered"
    words = {EventRefused: "refused", DestinationGone: "gone"}
    return words.get(type(failure), "temporary")
