"""The few words in which PostgreSQL and SQLite differ, for the statements of the hot path."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from django.db import connection


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL; otherwise it is SQLite."""
    return connection.vendor == "postgresql"


def now() -> str:
    """Return the SQL for the database's clock, the same that Django's Now() reads."""
    return "statement_timestamp()" if is_postgresql() else "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"


def this_hour() -> str:
    """Return the SQL for the beginning of this hour, in UTC."""
    if is_postgresql():
        return "date_trunc('hour', statement_timestamp(), 'UTC')"
    return "strftime('%%Y-%%m-%%d %%H:00:00', 'now')"


def in_seconds() -> str:
    """Return the SQL for that many seconds from now; its one parameter is a float."""
    if is_postgresql():
        return "statement_timestamp() + %s * interval '1 second'"
    return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')"


def locked() -> str:
    """Return the SQL that locks the rows of a SELECT as an UPDATE does; SQLite has one writer, and needs none."""
    return "FOR NO KEY UPDATE" if is_postgresql() else ""


def clean(text: str) -> str:
    """Return text that every database takes: PostgreSQL refuses NUL, and both half a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def clean_json(value: Any) -> Any:
    """Return a JSON value with every text in it clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(name): clean_json(inner) for name, inner in value.items()}
    return [clean_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement through Django's cursor and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cast(list[tuple[Any, ...]], cursor.fetchall())


class Uuids(list[UUID]):
    """A `uuid[]` parameter for `bound_rows`, written at an eighth of what psycopg's lists cost."""


class Floats(list[float]):
    """A `float8[]` parameter for `bound_rows`, written at half of what psycopg's lists cost."""


def bound_rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement on PostgreSQL with parameters bound by the server, binary where `%b` says so.

    Django binds on the client, which costs four times as much for arrays. Errors are Django's.
    """
    import psycopg

    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(cast(Any, connection.connection)) as cursor:
        for kind, dumper in array_dumpers().items():
            cursor.adapters.register_dumper(kind, dumper)
        cursor.execute(cast(Any, sql), parameters, binary=True)
        return cursor.fetchall()


@functools.cache
def array_dumpers() -> dict[type, Any]:
    """Return how psycopg is to write our arrays: the header and elements of PostgreSQL's binary arrays.

    https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c (array_recv)
    """
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    header, float8 = struct.Struct(">iiiii"), struct.Struct(">id")

    class UuidsDumper(Dumper):
        format = Format.BINARY
        oid = 2951

        def dump(self, obj: Uuids) -> bytes:
            size = b"\0\0\0\x10"
            return header.pack(1, 0, 2950, len(obj), 1) + size + size.join([id.bytes for id in obj])

    class FloatsDumper(Dumper):
        format = Format.BINARY
        oid = 1022

        def dump(self, obj: Floats) -> bytes:
            return header.pack(1, 0, 701, len(obj), 1) + b"".join([float8.pack(8, value) for value in obj])

    return {Uuids: UuidsDumper, Floats: FloatsDumper}
