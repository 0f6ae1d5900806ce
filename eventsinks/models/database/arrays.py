"""Arrays: parameters of PostgreSQL's array types, written in binary. Each costs a fraction of psycopg's own lists.

https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c (array_recv)
"""

from __future__ import annotations

import functools
import struct
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HEADER = struct.Struct(">iiiii")
SIZE = struct.Struct(">i")
NULL = b"\xff\xff\xff\xff"

_ready: weakref.WeakSet[Any] = weakref.WeakSet()  # the connections of psycopg that know our arrays


class Uuids(list[UUID | None]):
    """A `uuid[]`. None is NULL."""


class Floats(list[float]):
    """A `float8[]`."""


class Texts(list[str]):
    """A `text[]`."""


class Labels(list[str]):
    """A `text[]` in which texts repeat: each is encoded once."""


class Blobs(list[bytes]):
    """A `bytea[]`."""


class Bigints(list[int]):
    """A `bigint[]`."""


class Smallints(list[int | None]):
    """A `smallint[]`. None is NULL."""


class Moments(list[datetime]):
    """A `timestamptz[]`. Each has a time zone."""


def fetch_bound_rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement on PostgreSQL, and return its rows if it has any. Errors are Django's.

    The server binds the parameters, in binary for `%b`. Django binds on the client, which costs four times as much
    for arrays.
    """
    import psycopg

    connection.ensure_connection()
    if connection.connection not in _ready:
        for kind, dumper in make_array_dumpers().items():
            connection.connection.adapters.register_dumper(kind, dumper)
        _ready.add(connection.connection)
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(sql, parameters, binary=True)
        return cursor.fetchall() if cursor.description else []


@functools.cache
def make_array_dumpers() -> dict[type, Any]:
    """Return psycopg's dumpers for our arrays."""
    integer, double, small = struct.Struct(">iq"), struct.Struct(">id"), struct.Struct(">ih")
    return {
        Uuids: make_dumper(2951, 2950, lambda ids: [b"\0\0\0\x10" + id.bytes if id else NULL for id in ids]),
        Floats: make_dumper(1022, 701, lambda numbers: [double.pack(8, number) for number in numbers]),
        Texts: make_dumper(1009, 25, lambda texts: write_sized([text.encode() for text in texts])),
        Labels: make_dumper(1009, 25, write_labels),
        Blobs: make_dumper(1001, 17, write_sized),
        Bigints: make_dumper(1016, 20, lambda numbers: [integer.pack(8, number) for number in numbers]),
        Smallints: make_dumper(
            1005, 21, lambda numbers: [NULL if n is None else small.pack(2, n) for n in numbers]
        ),
        Moments: make_dumper(
            1185, 1184, lambda moments: [integer.pack(8, (at - POSTGRES_EPOCH) // MICROSECOND) for at in moments]
        ),
    }


def write_sized(values: Iterable[bytes]) -> list[bytes]:
    """Return each value with its length before it."""
    return [SIZE.pack(len(value)) + value for value in values]


def write_labels(texts: Sequence[str]) -> list[bytes]:
    """Return each text in UTF-8 with its length before it."""
    written = {text: SIZE.pack(len(encoded := text.encode())) + encoded for text in set(texts)}
    return [written[text] for text in texts]


def make_dumper(array: int, element: int, write: Callable[[Any], list[bytes]]) -> Any:
    """Return a dumper of one array type. `array` and `element` are PostgreSQL's numbers of the types."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array

        def dump(self, obj: Any) -> bytes:
            elements = write(obj)
            return b"".join([HEADER.pack(1, int(NULL in elements), element, len(elements), 1), *elements])

    return ArrayDumper
