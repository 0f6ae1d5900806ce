"""The database's clock, for what is decided in Python.

The machines of an installation need not agree on the time: what the database has dated is compared with its own
clock alone. Most of that is done in SQL, by Now() and `sql.now()`; this is for the rest.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from eventsinks.models.database import sql

GOOD_FOR = 1.0  # seconds that `estimate_database_clock` goes on from one look at the clock
PRECISION = timedelta(milliseconds=1)  # of SQLite's clock; PostgreSQL's is finer

_looked: tuple[float, datetime] | None = None  # when this process looked at the clock last, and what it said


def read_database_clock() -> datetime:
    """Return what the database's clock says, in one query."""
    ((said,),) = sql.fetch_rows(f"SELECT {sql.now_sql()}")
    if isinstance(said, datetime):
        return said.astimezone(UTC)
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def estimate_database_clock() -> datetime:
    """Return the same to a few milliseconds, at a query a second: for pages that tell many ages."""
    global _looked
    at = time.monotonic()
    if _looked is None or at - _looked[0] > GOOD_FOR:
        _looked = (at, read_database_clock())
    return _looked[1] + timedelta(seconds=at - _looked[0])
