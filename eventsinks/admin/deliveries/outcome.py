"""The outcome of a delivery, in plain words: what happened, which side caused it, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from eventsinks.actions.obstacles import Obstacle, describe_obstacle, find_obstacle
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.attempts.sides import strip_code, tell_side
from eventsinks.models import Attempt, Delivery
from eventsinks.models.attempt import Outcome
from eventsinks.models.delivery import DeliveryState
from eventsinks.sending.judge import get_max_tries


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
