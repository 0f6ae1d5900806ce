"""Health: what a destination's last tries say of it, and the state of its breaker. sending/breaker.py decides it.

The columns stay empty while all goes well. Only the engine writes them, at most about once a second for each
destination in trouble.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now


class Trouble(models.IntegerChoices):
    """How bad it is. The worst comes last."""

    NONE = 0, "None"
    FAILING = 1, "Failing"  # about half of its tries fail, or more
    OPEN = 2, "Breaker open"  # so many fail that nothing is sent for a while
    DISABLED = 3, "Disabled"  # nothing is sent until somebody repairs it


class Breaker(models.TextChoices):
    """What the breaker lets through."""

    CLOSED = "closed", "Closed"  # everything
    OPEN = "open", "Open"  # nothing until `held_until`; then the first claim makes it half-open
    HALF_OPEN = "half_open", "Half-open"  # a few probes
    RAMP = "ramp", "Ramp"  # a rate that grows, until it is closed


class Health(models.Model):
    """The columns that say how a destination is. All have a default in the database, for older processes."""

    trouble = models.PositiveSmallIntegerField(choices=Trouble.choices, db_default=0, default=0, editable=False)
    trouble_since = models.DateTimeField(null=True, editable=False)  # the first failure; also before it is failing
    trouble_reason = models.TextField(db_default="", default="", blank=True, editable=False)  # of the last failure
    trouble_at = models.DateTimeField(null=True, editable=False)  # when `trouble` last changed
    # The worst trouble of this episode that a notice has told, to its tenant and to the operator.
    told = models.PositiveSmallIntegerField(db_default=0, default=0, editable=False)
    told_operator = models.PositiveSmallIntegerField(db_default=0, default=0, editable=False)
    failed_at = models.DateTimeField(null=True, editable=False)  # the last failure
    failed_in_a_row = models.PositiveIntegerField(
        db_default=0, default=0, editable=False
    )  # tries since the last success
    # The window of tries, and how they ended. The refused ones failed too, but the far end is there.
    window_at = models.DateTimeField(null=True, editable=False)
    taken = models.PositiveIntegerField(db_default=0, default=0, editable=False)
    refused = models.PositiveIntegerField(db_default=0, default=0, editable=False)
    faulted = models.PositiveIntegerField(db_default=0, default=0, editable=False)
    breaker = models.CharField(
        max_length=9, choices=Breaker.choices, db_default=Breaker.CLOSED, default=Breaker.CLOSED, editable=False
    )
    # When the ramp began; while it is half-open, when the probes are given out anew.
    breaker_at = models.DateTimeField(null=True, editable=False)
    times_opened = models.PositiveSmallIntegerField(
        db_default=0, default=0, editable=False
    )  # how often without closing
    probes = models.PositiveSmallIntegerField(db_default=0, default=0, editable=False)  # left to give out

    class Meta:
        abstract = True


def begin_anew() -> dict[str, Any]:
    """Return the columns of a destination that somebody has repaired: its past failures do not count."""
    return {
        "trouble": Trouble.NONE,
        "trouble_since": None,
        "trouble_reason": "",
        "trouble_at": Now(),
        "failed_at": None,
        "failed_in_a_row": 0,
        "window_at": None,
        "taken": 0,
        "refused": 0,
        "faulted": 0,
        "breaker": Breaker.CLOSED,
        "breaker_at": None,
        "times_opened": 0,
        "probes": 0,
        "held_until": None,
    }
