"""Forget: deletes what ended long ago in the tables that stay small, and that no walk of the retention visits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from eventsinks.limits.isolation import isolate
from eventsinks.models import Clearing, Count, Finding, QuietWindow, Replay, Silence
from eventsinks.models.counting.read import TIMES
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.removal import remove_some
from eventsinks.sweeping.retain import note_removed

EVERY = 3600.0  # seconds between two rounds of a process: each round reads these tables
KEPT, TWO_DAYS = timedelta(days=90), timedelta(days=2)
AT_ONCE, BATCHES = 1_000, 20  # rows of one batch, and batches of one round

# What may go, of rows from before a moment: by the name of its table.
OVER: dict[str, Callable[[datetime], QuerySet[Any]]] = {
    "quietwindow": lambda before: QuietWindow.objects.filter(told_at__lt=before),
    # The sums of what retention deleted are 0. Pages show the durations of a day.
    "count": lambda before: Count.objects.filter(n=0),
    "time": lambda before: Count.objects.filter(
        what__in=TIMES, slot__lt=int((before + KEPT - TWO_DAYS).timestamp())
    ),
    "finding": lambda before: Finding.objects.filter(dismissed_at__lt=before),
    "clearing": lambda before: Clearing.objects.filter(ended_at__lt=before),
    "replay": lambda before: Replay.objects.filter(ended_at__lt=before),
    "silence": lambda before: Silence.objects.filter(ends_at__lt=before),
    "accessattempt": lambda before: AccessAttempt.objects.filter(attempt_time__lt=before),
    "session": lambda before: Session.objects.filter(expire_date__lt=before + KEPT),  # it is of no use any more
}

_next_at = float("-inf")


def forget_ended() -> int:
    """Delete some rows that ended long enough ago, once an hour. Return how many."""
    global _next_at
    if time.monotonic() < _next_at:
        return 0
    _next_at = time.monotonic() + EVERY
    before = read_database_clock() - KEPT
    removed: Counter[str] = Counter()
    for table, over in OVER.items():
        with isolate(f"what ended of {table} is still there"):
            for _ in range(BATCHES):
                count = remove_some(over(before), AT_ONCE)
                removed[table] += count
                if count < AT_ONCE:
                    break
    note_removed(+removed, "they ended long ago")
    return sum(removed.values())
