"""Clock: the database's clock, for decisions in Python.

The machines of an installation may disagree on the time. So times from the database are compared only with the
database's clock. SQL does most of this, with Now() and `sql.now_sql()`; these functions are for the rest.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from eventsinks.models.database import sql

GOOD_FOR = 1.0  # seconds for which `estimate_database_clock` uses one reading of the clock
PRECISION = timedelta(milliseconds=1)  # of SQLite's clock; PostgreSQL's is finer

_looked: tuple[float, datetime] | None = None  # time and result of this process's last reading


def read_database_clock() -> datetime:
    """Return the time of the database's clock, in one query."""
    ((said,),) = sql.fetch_rows(f"SELECT {sql.now_sql()}")
    if isinstance(said, datetime):
        return said.astimezone(UTC)
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def estimate_database_clock() -> datetime:
    """Return this time to a few milliseconds, with one query a second, for pages that show many ages."""
    global _looked
    at = time.monotonic()
    if _looked is None or at - _looked[0] > GOOD_FOR:
        _looked = (at, read_database_clock())
    return _looked[1] + timedelta(seconds=at - _looked[0])
