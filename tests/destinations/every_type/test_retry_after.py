"""`Retry-After`: seconds or a date, by the far end's clock where it says what that is; never longer than a day."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from eventsinks.destinations.base import MAX_RETRY_AFTER, read_retry_after
from tests.destinations.examples import AT, make_response

NOW = AT.replace(microsecond=0)


def date(seconds, since=NOW):
    return format_datetime(since + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.guarantee("R12")
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        (str(MAX_RETRY_AFTER + 1).removesuffix(".0"), MAX_RETRY_AFTER),
        ("9" * 400, MAX_RETRY_AFTER),
        ("1.5", None),
        ("-1", None),
        ("soon", None),
        ("", None),
        (date(90), 90.0),
        (date(1), 1.0),
        (date(0), None),
        (date(-90), None),
        (date(10 * MAX_RETRY_AFTER), MAX_RETRY_AFTER),
    ],
)
def test_what_it_says_is_so_many_seconds(said, seconds):
    assert read_retry_after(make_response(503, retry_after=said), NOW) == seconds


@pytest.mark.guarantee("R12")
@pytest.mark.parametrize("ahead", [-86_400, 0, 86_400])
def test_a_date_is_measured_by_the_far_end_s_own_clock(ahead):
    response = make_response(503, retry_after=date(ahead + 90), date=date(ahead))
    assert read_retry_after(response, NOW) == 90.0


def test_a_date_of_the_far_end_that_is_none_is_not_its_clock():
    assert read_retry_after(make_response(503, retry_after=date(90), date="tomorrow"), NOW) == 90.0


def test_no_header_is_no_pause():
    assert read_retry_after(make_response(503), NOW) is None
