"""The rule of the breaker: when a destination is failing, when nothing is sent to it, and when it works again."""

from datetime import UTC, datetime, timedelta

import pytest

from eventsinks.destinations.base import EventRefused, Temporary
from eventsinks.lib.net.wire import Response
from eventsinks.models import Destination
from eventsinks.models.health import Breaker, Trouble
from eventsinks.sending.breaker import (
    LONGEST_PAUSE,
    PROBES,
    RAMP,
    RAMP_STEP,
    Tally,
    get_ramp_rate,
    give_out_probes,
    weigh,
)
from eventsinks.sending.health import tally_try

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
FAULT = Temporary("503", Response(503, [], b""))
TIMEOUT = Temporary("timeout: no answer")
REFUSED = EventRefused("400", Response(400, [], b""))
BUSY = Temporary("429", Response(429, [], b""))
HELD = Temporary("429", Response(429, [], b""), retry_after=5.0)
UNSENT = EventRefused("is too large")


class Far:
    """A destination's row, and a clock that the test moves. `told` counts how often its trouble changed."""

    def __init__(self, type="webhook"):
        self.row = Destination(type=type)
        self.now = START
        self.changes = []

    def tries(self, *failures, seconds=0.0, probes=False, doubted=False):
        """End these tries after some seconds; None is a success."""
        self.now += timedelta(seconds=seconds)
        tally = Tally()
        for failure in failures:
            tally_try(tally, failure, doubted=doubted)
        before = self.row.trouble
        weigh(self.row, tally, self.now, probes=probes)
        if self.row.trouble != before:
            self.changes.append(Trouble(self.row.trouble))
        return self

    def every(self, seconds, failures, times):
        """Let each of `failures` end in turn, `seconds` apart, so many times."""
        for _ in range(times):
            for failure in failures:
                self.tries(failure, seconds=seconds)
        return self

    @property
    def stands(self):
        return Trouble(self.row.trouble), Breaker(self.row.breaker)

    def is_open(self):
        return self.stands == (Trouble.OPEN, Breaker.OPEN)

    def pause(self):
        return (self.row.held_until - self.now).total_seconds()

    def probe(self, *failures, seconds=301.0):
        """Wait until it is half-open, and let the probes end so."""
        self.now += timedelta(seconds=seconds)
        assert give_out_probes(self.row, len(failures), self.now, 60.0) == len(failures)
        return self.tries(*failures, seconds=1, probes=True)


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def opened(far):
    return far.every(10, [FAULT], 40)


# --- Failing


def test_who_always_fails_is_failing_after_a_minute_and_open_after_two(far):
    far.every(5, [FAULT], 12)
    assert far.stands == (Trouble.NONE, Breaker.CLOSED)
    far.every(5, [FAULT], 1)
    assert far.stands == (Trouble.FAILING, Breaker.CLOSED)
    assert far.row.trouble_since == START + timedelta(seconds=5)
    far.every(5, [FAULT], 12)
    assert far.is_open()
    assert far.changes == [Trouble.FAILING, Trouble.OPEN]


@pytest.mark.parametrize("failure", [FAULT, TIMEOUT], ids=["503", "timeout"])
def test_no_answer_counts_as_much_as_a_bad_one(far, failure):
    assert far.every(5, [failure], 30).is_open()


def test_a_restart_of_the_far_end_is_no_trouble(far):
    far.tries(*[FAULT] * 500).tries(*[FAULT] * 500, seconds=20).tries(*[None] * 1000, seconds=5)
    assert far.changes == []


def test_one_slow_minute_opens_nothing(far):
    far.tries(*[TIMEOUT] * 100, seconds=20).every(1, [TIMEOUT], 60).every(1, [None], 300)
    assert Trouble.OPEN not in far.changes
    assert far.stands == (Trouble.NONE, Breaker.CLOSED)


@pytest.mark.guarantee("R20")
def test_who_fails_nine_times_of_ten_is_failing_once_and_stays_so(far):
    far.every(10, [FAULT] * 9 + [None], 20)
    assert far.changes == [Trouble.FAILING, Trouble.OPEN]
    slow = Far().every(50, [FAULT] * 9 + [None], 100)  # too few tries to open
    assert slow.changes == [Trouble.FAILING]


def test_one_alert_an_hour_that_fails_is_failing_and_never_opens(far):
    for _ in range(200):
        far.tries(FAULT, seconds=3600).tries(FAULT, seconds=5).tries(FAULT, seconds=300)
    assert far.changes == [Trouble.FAILING]
    assert far.row.held_until is None


def test_who_refuses_half_is_failing_and_never_opens(far):
    far.every(5, [REFUSED, None], 200)
    assert far.changes == [Trouble.FAILING]


def test_who_fails_now_and_then_is_well(far):
    far.every(1, [FAULT] + [None] * 9, 500)
    assert far.changes == []


@pytest.mark.parametrize("failure", [HELD, UNSENT], ids=["asks for a pause", "never sent"])
def test_what_says_nothing_of_the_far_end_does_not_count(far, failure):
    assert far.every(5, [failure], 100).changes == []


def test_busy_without_end_is_failing_and_does_not_open(far):
    assert far.every(5, [BUSY], 100).changes == [Trouble.FAILING]


def test_a_refusal_of_the_credentials_warns_at_once(far):
    far.tries(Temporary("401", Response(401, [], b"")), doubted=True)
    assert far.changes == [Trouble.FAILING]


# --- Well again


def test_it_is_well_with_the_first_success_after_a_minute_without_failure(far):
    far.every(30, [FAULT], 5).tries(None, seconds=30)
    assert far.stands[0] == Trouble.FAILING
    far.tries(None, seconds=31)
    assert far.changes == [Trouble.FAILING, Trouble.NONE]
    assert (far.row.trouble_since, far.row.trouble_reason) == (None, "")


def test_it_is_well_when_little_of_much_fails(far):
    far.every(10, [FAULT], 10).tries(*[None] * 39, seconds=5)
    assert far.stands[0] == Trouble.FAILING
    far.tries(None, seconds=1)
    assert far.stands[0] == Trouble.NONE


# --- Open, half-open, ramp


def test_what_was_under_way_when_it_opened_does_not_count(opened):
    before = opened.row.held_until
    opened.tries(*[FAULT] * 50, *[None] * 50, seconds=1)
    assert opened.is_open()
    assert opened.row.held_until == before


def test_as_many_probes_as_are_stated_are_given_out(opened):
    opened.now += timedelta(seconds=301)
    given = [give_out_probes(opened.row, 3, opened.now, 60.0) for _ in range(4)]
    assert (given, sum(given)) == ([3, 2, 0, 0], PROBES["event_sink"])


def test_lost_probes_are_given_out_once_more_after_a_while(opened):
    opened.now += timedelta(seconds=301)
    assert give_out_probes(opened.row, 9, opened.now, 60.0) == 5
    opened.tries(None, probes=True)  # one came back, and the worker of the others died
    opened.now += timedelta(seconds=59)
    assert give_out_probes(opened.row, 9, opened.now, 60.0) == 0
    opened.now += timedelta(seconds=2)
    assert give_out_probes(opened.row, 9, opened.now, 60.0) == 4


def test_each_time_it_opens_for_twice_as_long_up_to_a_bound(opened):
    pauses = [opened.probe(FAULT, FAULT, FAULT).pause() for _ in range(5)]
    assert pauses == [60, 120, 240, LONGEST_PAUSE, LONGEST_PAUSE]


def test_one_event_that_the_far_end_can_not_take_does_not_keep_it_open(opened):
    opened.probe(FAULT, None, None, None)
    assert opened.stands == (Trouble.NONE, Breaker.RAMP)


def test_the_ramp_ends_in_closed_and_the_next_opening_is_short_again(opened):
    opened.probe(FAULT, FAULT, FAULT).probe(None, None, None)
    assert opened.stands == (Trouble.NONE, Breaker.RAMP)
    opened.tries(None, seconds=RAMP)
    assert opened.stands == (Trouble.NONE, Breaker.CLOSED)
    assert opened.row.times_opened == 0


def test_who_fails_in_the_ramp_opens_again_and_for_longer(opened):
    opened.probe(None, None, None).tries(*[FAULT] * 5, seconds=3)
    assert opened.is_open()
    assert opened.pause() == 60


def test_the_ramp_begins_slowly_doubles_and_ends():
    rates = [get_ramp_rate(second) for second in range(int(RAMP))]
    assert rates == sorted(rates)
    assert (rates[0], rates[int(RAMP_STEP)], get_ramp_rate(RAMP)) == (5.0, 10.0, 0.0)


def test_a_stream_has_one_probe_and_few_tries():
    far = Far("generic_http")
    for pause in (1, 2, 4, 8, 16, 32):
        far.tries(FAULT, seconds=pause)
    assert far.stands[0] == Trouble.FAILING
    far.tries(FAULT, seconds=64)
    assert far.is_open()
    far.now += timedelta(seconds=301)
    assert [give_out_probes(far.row, 1, far.now, 60.0) for _ in range(2)] == [1, 0]
    assert far.tries(None, probes=True).stands == (Trouble.NONE, Breaker.RAMP)
