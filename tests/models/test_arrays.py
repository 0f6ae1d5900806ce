"""Arrays: what PostgreSQL reads of ours is what was given, to the bit."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.models.database.arrays import (
    Bigints,
    Blobs,
    Floats,
    Moments,
    Smallints,
    Texts,
    Uuids,
    fetch_bound_rows,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no arrays"),
]

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
KINDS = {
    "uuid[]": (Uuids, st.none() | st.uuids()),
    "float8[]": (Floats, st.floats(allow_nan=False)),
    "text[]": (Texts, WORDS),
    "bytea[]": (Blobs, st.binary()),
    "bigint[]": (Bigints, st.integers(-(2**63), 2**63 - 1)),
    "smallint[]": (Smallints, st.none() | st.integers(-(2**15), 2**15 - 1)),
    "timestamptz[]": (
        Moments,
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([UTC])),  # noqa: DTZ001
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_array_is_read_as_it_was_given(kind, data):
    make, values = KINDS[kind]
    given = data.draw(st.lists(values, max_size=5))
    rows = fetch_bound_rows(f"SELECT value FROM unnest(%b::{kind}) AS given(value)", [make(given)])
    assert [value for (value,) in rows] == given


def test_a_moment_of_another_zone_is_the_same_moment():
    at = datetime(2026, 5, 4, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    ((found,),) = fetch_bound_rows("SELECT (%b::timestamptz[])[1]", [Moments([at])])
    assert found == at


def test_a_statement_without_rows_returns_none():
    assert fetch_bound_rows("DELETE FROM eventsinks_event WHERE key = ANY(%b)", [Texts([uuid.uuid4().hex])]) == []
