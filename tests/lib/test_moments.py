"""Times as they are written, and the moments that they mean."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsinks.lib.moments import read_end, read_time

NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-12-31T23:59:59Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31t23:59:59z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31 23:59:59Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:59", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:59-00:00", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2016-12-31T23:59:59.9999999999Z", datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2017-01-01T05:30:00.5+05:30", datetime(2017, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
        ("2017-01-01", NEW_YEAR),
        ("2016-12-31T23:59:60Z", NEW_YEAR),
        ("2016-12-31t23:59:60.75z", NEW_YEAR),
        ("2016-12-31T15:59:60-08:00", NEW_YEAR),
        ("2017-01-01T05:29:60+05:30", NEW_YEAR),
    ],
)
def test_a_time_means_a_moment_of_utc(text, moment):
    assert read_time(text) == moment
    assert read_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2016-12-31T23:59:61Z",
        "2016-12-31T22:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-02-30",
        "2016-12-31T24:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-10:00",
        "0001-01-01T00:00:00+10:00",
        "2016-12-31T23:59:60Z\n",
    ],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words differ
        read_time(text)


@given(st.datetimes(timezones=st.timezones() | st.just(UTC), allow_imaginary=False))
def test_what_python_writes_is_read_as_it_was_meant(at):
    try:
        utc = at.astimezone(UTC)
    except OverflowError:
        return
    if at.utcoffset().total_seconds() % 60 == 0:
        assert read_time(at.isoformat()) == read_time(at.isoformat().lower()) == utc


def test_what_ends_with_a_day_ends_with_its_last_moment():
    assert read_end("2016-12-31") == datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert read_end("2016-12-31T00:00:00Z") == read_time("2016-12-31")
    with pytest.raises(ValueError, match="after the last"):
        read_end("9999-12-31x".replace("x", "T23:59:60Z"))
