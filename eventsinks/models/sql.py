"""The few words in which PostgreSQL and SQLite differ, for the statements of the hot path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db import connection


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL; otherwise it is SQLite."""
    return connection.vendor == "postgresql"


def now() -> str:
    """Return the SQL for the database's clock, the same that Django's Now() reads."""
    return "statement_timestamp()" if is_postgresql() else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"


def in_seconds() -> str:
    """Return the SQL for that many seconds from now; its one parameter is a float."""
    if is_postgresql():
        return "statement_timestamp() + %s * interval '1 second'"
    return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')"


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement through Django's cursor and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cast(list[tuple[Any, ...]], cursor.fetchall())


def bound_rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement on PostgreSQL with parameters bound by the server, binary where `%b` says so.

    Django binds on the client, which costs four times as much for arrays. Errors are Django's.
    """
    import psycopg

    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(cast(Any, connection.connection)) as cursor:
        cursor.execute(cast(Any, sql), parameters, binary=True)
        return cursor.fetchall()
