"""Index alerts: gives the newest detection alerts their search rows, behind the log."""

from __future__ import annotations

import time

from eventsinks.models.search.progress import count_behind, index_next

LONGEST = 0.3  # seconds of one sweep


def index_alerts() -> int:
    """Index what came since the last time, for a moment. Return 0: nothing becomes due by it."""
    end = time.monotonic() + LONGEST
    while count_behind() and index_next() and time.monotonic() < end:
        pass
    return 0
