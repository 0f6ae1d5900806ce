"""The outcome of a delivery, in plain words: what happened, which side caused it, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from eventsinks.actions.obstacles import Obstacle, describe_obstacle, find_obstacle
from eventsinks.admin.parts import marks
from eventsinks.models import Attempt, Delivery
from eventsinks.models.attempt import Outcome
from eventsinks.models.delivery import DeliveryState
from eventsinks.sending.judge import get_max_tries

# The reasons why no answer came (lib.wire.ExchangeFailed), each with the side that caused it and what to check.
NO_ANSWER = {
    "dns_error": "The far end’s side, or a mistyped URL: its host name can’t be resolved.",
    "address_refused": "The settings of the event sink: the URL leads to an address that may not be dialled.",
    "connection_refused": "The far end’s side: nothing listens at its address and port.",
    "connection_failed": "The far end’s side or the network between: no connection came about.",
    "tls_error": "The far end’s side: its certificate is not good (expired, another name, unknown issuer).",
    "timeout": "The far end’s side or the network between: it did not answer in time.",
    "connection_lost": "The far end’s side or the network between: the connection broke before an answer.",
    "bad_response": "The far end’s side: what it answered is not HTTP.",
    "bad_request": "The settings of the event sink: the request can’t be written as HTTP.",
}
ANSWERS = {  # what the status of an answer says about the side that caused it
    401: "The settings of the event sink: the far end does not accept its credentials.",
    403: "The settings of the event sink: the far end does not allow it what it asks for.",
    404: "The settings of the event sink or the far end’s side: there is nothing at this address.",
    408: "The far end’s side: it did not read the request in time.",
    410: "The far end’s side: it says that this address is gone for good.",
    413: "The event: it is too large for the far end.",
    429: "The far end’s side: it wants to be sent less at a time.",
}


@dataclass(frozen=True, slots=True)
class Story:
    """The banner on a delivery's page."""

    tone: marks.Tone
    headline: str
    side: str  # the side that caused a failure, empty if nothing failed
    next: str


def tell_story(delivery: Delivery, last: Attempt | None) -> Story:
    """Return the story of a delivery. `last` is its last attempt."""
    waits_after_failure = delivery.state == DeliveryState.PENDING and bool(delivery.reason)
    failed = waits_after_failure or delivery.state == DeliveryState.FAILED
    return Story(
        tone="warning" if waits_after_failure else marks.DELIVERY_TONES[delivery.state],
        headline=tell_headline(delivery, last),
        side=tell_side(last) if last is not None and failed else "",
        next=tell_next(delivery),
    )


def tell_headline(delivery: Delivery, last: Attempt | None) -> str:
    """Return what happened."""
    if delivery.state == DeliveryState.DELIVERED:
        at = f" {marks.write_distance(delivery.settled_at)}" if delivery.settled_at else ""
        return f"Delivered{at}, on try {last.number if last else delivery.tries}"
    if delivery.state == DeliveryState.SUPPRESSED:
        return f"Not sent: {delivery.reason}"
    if delivery.state == DeliveryState.SENDING:
        return f"Being sent: try {delivery.tries}"
    why = strip_code(delivery.reason)
    if delivery.state == DeliveryState.FAILED:
        refused = last is not None and last.outcome == Outcome.REFUSED
        tries = "1 try" if delivery.tries == 1 else f"{delivery.tries} tries"
        word = "The event was refused" if refused else f"Given up after {tries}"
        return f"{word}: {why}"
    if why:
        return f"Not delivered yet: {why}"
    return "Waiting for the first of a fresh set of tries" if last else "Waiting for its first try"


def strip_code(reason: str) -> str:
    """Return a reason without its code for machines."""
    word, _, message = reason.partition(": ")
    return message if word in NO_ANSWER and message else reason


def tell_side(attempt: Attempt) -> str:
    """Return which side caused a failure, as far as we can know."""
    if attempt.status is None:
        return NO_ANSWER.get(attempt.reason.partition(":")[0], "")
    if attempt.status in ANSWERS:
        return ANSWERS[attempt.status]
    if attempt.status >= 500:
        return "The far end’s side: it answered that it has a fault."
    if 300 <= attempt.status < 400:
        return "The settings of the event sink: the far end has moved, and redirects are not followed."
    return "The event or the settings of the event sink: the far end did not accept the request."


def tell_next(delivery: Delivery) -> str:
    """Return what happens next, and when."""
    if delivery.state == DeliveryState.PENDING:
        return tell_next_try(delivery)
    if delivery.state == DeliveryState.SENDING:
        takes_over = f"If its worker is lost, another one takes over at {marks.write_clock(delivery.due_at)}."
        return f"A worker is at it. {takes_over}"
    if delivery.state == DeliveryState.FAILED:
        return f"Nothing by itself. A replay gives it {get_max_tries()} new tries."
    return "Nothing more."


def tell_next_try(delivery: Delivery) -> str:
    """Return what a pending delivery waits for, and when its next try is."""
    wait = find_obstacle(delivery)
    which = f"Try {delivery.tries + 1} of {get_max_tries()}"
    if wait is None:
        return f"{which} is due now: a worker takes it within moments."
    if wait.obstacle == Obstacle.LATER:
        return f"{which} {marks.write_distance(delivery.due_at)}, at {marks.write_clock(delivery.due_at)}."
    return f"It waits{describe_obstacle(delivery, wait, marks.write_clock)}".rstrip(".") + "."
