"""SQL: the few parts in which PostgreSQL and SQLite differ, for the statements of the hot path."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from django.conf import settings
from django.db import Error, connection

# How long the dispatcher and the sweep wait for a lock: they write a moment later instead.
IMPATIENT_MS = 100
IMPATIENT_MS_SQLITE = 1000  # it has one writer at a time; many short transactions follow each other
LOCK_NOT_AVAILABLE = "55P03"


def is_postgresql() -> bool:
    """Return whether the database is PostgreSQL; otherwise it is SQLite."""
    return connection.vendor == "postgresql"


def now_sql() -> str:
    """Return the SQL of the database's clock, the same that Django's Now() reads."""
    return "statement_timestamp()" if is_postgresql() else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"


def this_hour_sql() -> str:
    """Return the SQL of the beginning of this hour, in UTC."""
    if is_postgresql():
        return "date_trunc('hour', statement_timestamp(), 'UTC')"
    return "strftime('%%Y-%%m-%%d %%H:00:00', 'now')"


def in_seconds_sql() -> str:
    """Return the SQL of the time in some seconds from now; its one parameter is a float."""
    if is_postgresql():
        return "statement_timestamp() + %s * interval '1 second'"
    return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')"


def seconds_since_sql(moment: str) -> str:
    """Return the SQL of the seconds from a moment until now, a float."""
    if is_postgresql():
        return f"extract(epoch FROM statement_timestamp() - {moment})::float8"
    return f"(julianday('now') - julianday({moment})) * 86400.0"


def skip_locked_sql() -> str:
    """Return the SQL that locks the rows of a SELECT as an UPDATE does, and skips rows that others have locked.

    SQLite has one writer and needs no locks.
    """
    return "FOR NO KEY UPDATE SKIP LOCKED" if is_postgresql() else ""


def is_locked(error: BaseException) -> bool:
    """Return whether the error says only that another transaction's lock prevented the statement."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) == LOCK_NOT_AVAILABLE or "database is locked" in str(error)


@contextmanager
def wait_shortly() -> Iterator[None]:
    """Wait only a moment for locks inside the block. Then an error is raised for which `is_locked` holds."""
    be_impatient()
    try:
        yield
    finally:
        with suppress(Error):  # a lost connection has no settings
            be_patient()


def be_impatient() -> None:
    """Make this thread's connection wait only a moment for a lock."""
    if is_postgresql():
        set_patience(f"SET lock_timeout = {IMPATIENT_MS}")
    else:
        set_patience(f"PRAGMA busy_timeout = {IMPATIENT_MS_SQLITE}")


def be_patient() -> None:
    """Make this thread's connection wait for a lock as long as the settings say."""
    if is_postgresql():
        set_patience("RESET lock_timeout")
    else:
        seconds = settings.DATABASES["default"]["OPTIONS"]["timeout"]
        set_patience(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def set_patience(statement: str) -> None:
    """Run a statement that sets how long this thread's connection waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def later_sql(one: str, other: str) -> str:
    """Return the SQL of the later of two moments; the second may be NULL."""
    return f"greatest({one}, {other})" if is_postgresql() else f"max({one}, coalesce({other}, ''))"


def distinct_sql(table: str, column: str, condition: str) -> str:
    """Return the SQL of the distinct values `id` of an integer column where `condition` holds.

    It jumps from value to value in an index that begins with the column, so the cost depends on the values, not on
    the rows. More conditions may follow it with AND.
    """
    return f"""
        WITH RECURSIVE found(id) AS (
            SELECT * FROM (SELECT {column} FROM {table} WHERE {condition} ORDER BY {column} LIMIT 1) AS first
            UNION ALL
            SELECT (SELECT {column} FROM {table} WHERE {condition} AND {column} > found.id
                    ORDER BY {column} LIMIT 1)
            FROM found WHERE found.id IS NOT NULL)
        SELECT id FROM found WHERE id IS NOT NULL"""


def clean_text(text: str) -> str:
    """Return text that every database accepts: PostgreSQL refuses NUL, and both refuse half a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def clean_json(value: Any) -> Any:
    """Return a JSON value in which every text is clean."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(name): clean_json(inner) for name, inner in value.items()}
    return [clean_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def fetch_rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement through Django's cursor and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cast(list[tuple[Any, ...]], cursor.fetchall())


def convert_id(id: uuid.UUID) -> Any:
    """Return a UUID in the form that the database's driver takes."""
    return id if is_postgresql() else id.hex


def read_id(value: uuid.UUID | str) -> uuid.UUID:
    """Return a UUID that a statement of our own gave: SQLite gives its text."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
