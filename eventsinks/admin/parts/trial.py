"""A test that was sent, told as an attempt: what came of it in plain words, then the evidence."""

from __future__ import annotations

from typing import Any

from eventsinks.actions.trying.try_out import TryOut
from eventsinks.admin.deliveries.events import cut, pretty
from eventsinks.admin.deliveries.outcome import plain, side_of
from eventsinks.admin.deliveries.timeline import row_of
from eventsinks.admin.parts import marks
from eventsinks.models import Attempt
from eventsinks.models.attempt import Outcome

HEADLINES = {
    Outcome.DELIVERED: "It arrived: the far end took it",
    Outcome.TEMPORARY: "It did not arrive this time",
    Outcome.UNKNOWN: "It may have arrived: it was sent, and no answer came",
    Outcome.REFUSED: "The far end refused it",
    Outcome.GONE: "It can’t arrive until somebody repairs this {noun}",
}


def told(tried: TryOut, noun: str) -> dict[str, Any]:
    """Return what the page of a test shows; `noun` is what was tested."""
    attempt = as_attempt(tried)
    headline, why = HEADLINES[Outcome(tried.outcome)].replace("{noun}", noun), plain(tried.reason)
    return {
        "tried": tried,
        "row": row_of(attempt),
        "tone": marks.OUTCOME_TONES[tried.outcome],
        "headline": f"{headline}: {why}" if why else headline,
        "side": "" if tried.outcome == Outcome.DELIVERED else side_of(attempt).replace("event sink", noun),
        "body": cut(pretty(tried.body.encode())),
    }


def as_attempt(tried: TryOut) -> Attempt:
    """Return it as an attempt, which is kept nowhere."""
    times = {f"{step}_ms": seconds * 1000 for step, seconds in tried.timings._asdict().items()}
    return Attempt(
        number=1,
        started_at=tried.started_at,
        outcome=tried.outcome,
        status=tried.status,
        reason=tried.reason,
        excerpt=tried.excerpt,
        peer=tried.peer,
        **times,
    )
