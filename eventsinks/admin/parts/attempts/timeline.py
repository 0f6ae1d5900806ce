"""A timeline of a delivery's attempts: how long each step took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventsinks.admin.parts import marks
from eventsinks.models import Attempt

STEPS = (  # a step's name, and the column with the time at which it was done
    ("DNS", "dns_ms"),
    ("connect", "connect_ms"),
    ("TLS", "tls_ms"),
    ("wait", "first_byte_ms"),
    ("read", "total_ms"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an exchange. `start` and `width` are in per cent of the whole."""

    name: str
    milliseconds: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt for the page."""

    attempt: Attempt
    chip: str
    tone: marks.Tone
    at: str
    total: str
    steps: Sequence[Step]


def draw_attempt(attempt: Attempt) -> AttemptRow:
    """Return an attempt for the page."""
    tone = marks.OUTCOME_TONES[attempt.outcome]
    return AttemptRow(
        attempt=attempt,
        chip=marks.make_chip(tone, attempt.get_outcome_display()),
        tone=tone,
        at=marks.write_clock(attempt.started_at),
        total=write_milliseconds(attempt.total_ms) if attempt.total_ms else "",
        steps=draw_steps(attempt),
    )


def draw_steps(attempt: Attempt) -> list[Step]:
    """Return the steps that happened.

    A column holds the time from the start of the exchange to the end of a step.
    """
    steps: list[Step] = []
    before = 0.0
    for name, column in STEPS:
        done: float = getattr(attempt, column)
        if done <= before:
            continue
        share = 100 / attempt.total_ms if attempt.total_ms else 0
        took = done - before
        shown = find_last_step(attempt) if column == "total_ms" else name
        steps.append(Step(shown, write_milliseconds(took), round(before * share, 2), round(took * share, 2)))
        before = done
    return steps


def find_last_step(attempt: Attempt) -> str:
    """Return the name of the step in which an attempt ended: the one after the last completed step."""
    if attempt.first_byte_ms:
        return "read"
    if attempt.connect_ms:
        return "wait"
    return "connect" if attempt.dns_ms else "DNS"


def write_milliseconds(value: float) -> str:
    """Return a duration for people: `0.4 ms`, `143 ms`, `20.0 s`."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
