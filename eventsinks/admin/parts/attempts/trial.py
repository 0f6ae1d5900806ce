"""A test, shown as an attempt: the result in plain words, then the evidence."""

from __future__ import annotations

from typing import Any

from eventsinks.actions.trying.try_out import TryOut
from eventsinks.admin.parts import marks
from eventsinks.admin.parts.attempts.sides import strip_code, tell_side
from eventsinks.admin.parts.attempts.timeline import draw_attempt
from eventsinks.admin.parts.documents import cut_text, indent_json
from eventsinks.models import Attempt
from eventsinks.models.attempt import Outcome

HEADLINES = {
    Outcome.DELIVERED: "It arrived: the far end took it",
    Outcome.TEMPORARY: "It did not arrive this time",
    Outcome.UNKNOWN: "It may have arrived: it was sent, and no answer came",
    Outcome.REFUSED: "The far end refused it",
    Outcome.GONE: "It can’t arrive until somebody repairs this {noun}",
}


def show_trial(tried: TryOut, noun: str) -> dict[str, Any]:
    """Return the content of a test's page. `noun` is what was tested."""
    attempt = make_attempt(tried)
    headline, why = HEADLINES[Outcome(tried.outcome)].replace("{noun}", noun), strip_code(tried.reason)
    return {
        "tried": tried,
        "row": draw_attempt(attempt),
        "tone": marks.OUTCOME_TONES[tried.outcome],
        "headline": f"{headline}: {why}" if why else headline,
        "side": "" if tried.outcome == Outcome.DELIVERED else tell_side(attempt).replace("event sink", noun),
        "body": cut_text(indent_json(tried.body.encode())),
    }


def make_attempt(tried: TryOut) -> Attempt:
    """Return a test as an attempt that is not saved."""
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
