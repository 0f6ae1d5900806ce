"""Holder: the transaction that holds all streams back. Streams read only what is older than every running one."""

from __future__ import annotations

from typing import NamedTuple

from eventsinks.models.database import sql

# Transactions of all databases of the cluster count: they share the numbers. A prepared one has no process.
RUNNING = """
    SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
           format('process %%s of %%s (%%s, %%s) in database %%s', pid, usename,
                  coalesce(nullif(application_name, ''), 'no name'), state, datname) AS name
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    UNION ALL
    SELECT extract(epoch FROM clock_timestamp() - prepared)::float8,
           format('the prepared transaction %%L of %%s in database %%s', gid, owner, database)
    FROM pg_prepared_xacts
    ORDER BY seconds DESC LIMIT 1"""


class Holder(NamedTuple):
    """A transaction that has been writing for some seconds, and what it is called."""

    seconds: float
    name: str


def find_holder() -> Holder | None:
    """Return the transaction that has been writing the longest; None if there is none, and on SQLite."""
    if not sql.is_postgresql():
        return None
    found = sql.fetch_rows(RUNNING, [])
    return Holder(*found[0]) if found else None
