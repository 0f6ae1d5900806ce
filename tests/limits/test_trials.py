"""Tests and trials: so many at once for a tenant, over all processes; the next one is refused and never waits."""

import threading

import pytest

from eventsinks.actions import configure
from eventsinks.actions.trying.probe import probe_destination
from eventsinks.actions.trying.try_out import try_out
from eventsinks.limits import trials
from eventsinks.limits.broker_state import make_key
from eventsinks.limits.quotas import LimitReached
from eventsinks.limits.trials import LEASE, count_under_way, hold_trial
from tests.helpers.receiver import Receiver, answer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["with Redis", "without"])
def anywhere(request):
    if request.param == "with Redis":
        request.getfixturevalue("shared_by_all")


def test_so_many_at_once_and_no_more(anywhere, acme, globex, limit):
    limit(acme, tests_at_once=2)
    with hold_trial(acme), hold_trial(acme):
        assert count_under_way(acme) == 2
        with pytest.raises(LimitReached) as reached, hold_trial(acme):
            pass
        assert (reached.value.name, reached.value.used) == ("tests_at_once", 2)
        assert 1 <= reached.value.wait <= LEASE
        with hold_trial(globex):
            pass
    assert count_under_way(acme) == 0
    with hold_trial(acme), hold_trial(acme):
        pass


def test_a_trial_that_fails_gives_its_place_back(anywhere, acme, limit):
    limit(acme, tests_at_once=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), hold_trial(acme):
            raise ZeroDivisionError
    assert count_under_way(acme) == 0


def test_so_many_a_minute_and_who_is_refused_holds_no_place(anywhere, acme, limit):
    limit(acme, tests_per_min=2, tests_at_once=1)
    for _ in range(2):
        with hold_trial(acme):
            pass
    with pytest.raises(LimitReached) as reached, hold_trial(acme):
        pass
    assert (reached.value.name, reached.value.wait) == ("tests_per_min", 30)
    assert count_under_way(acme) == 0
    with hold_trial(acme, counted=False):
        pass


def test_where_all_places_are_taken_nothing_is_taken_of_the_minute(anywhere, acme, limit):
    limit(acme, tests_per_min=2, tests_at_once=1)
    with hold_trial(acme):
        for _ in range(5):
            with pytest.raises(LimitReached), hold_trial(acme):
                pass
    with hold_trial(acme):
        pass


def test_a_place_in_another_process_counts_and_is_free_once_its_lease_is_over(shared_by_all, acme, limit):
    limit(acme, tests_at_once=1)
    key = make_key("trials", acme.id.hex)
    seconds, micros = shared_by_all.time()
    now = seconds * 1000 + micros // 1000
    shared_by_all.zadd(key, {"of a killed process": now + 7_000})
    with pytest.raises(LimitReached) as reached, hold_trial(acme):
        pass
    assert reached.value.wait == 7
    assert count_under_way(acme) == 1
    shared_by_all.zadd(key, {"of a killed process": now - 1})
    with hold_trial(acme):
        assert 0 < shared_by_all.pttl(key) <= 2 * LEASE * 1000


def test_emptying_redis_meanwhile_leaves_the_places_of_this_process(shared_by_all, acme, limit):
    limit(acme, tests_at_once=1)
    with hold_trial(acme):
        shared_by_all.flushall()
        with pytest.raises(LimitReached), hold_trial(acme):
            pass
    with hold_trial(acme):
        pass


@pytest.fixture
def hanging():
    """A far end that answers when it is told to; `came` says that somebody waits there."""
    came, go = threading.Event(), threading.Event()

    def hang(got):
        came.set()
        go.wait(20)
        return answer()

    with Receiver(hang) as receiver:
        receiver.came, receiver.go = came, go
        yield receiver
        go.set()


@pytest.mark.parametrize("type", ["webhook", "generic_http"])
def test_while_a_test_hangs_the_next_is_refused_at_once(acme, limit, hanging, type):
    limit(acme, tests_at_once=1)
    made = configure.create(acme, type, {"url": hanging.url()}, name="n")
    send = try_out if type == "webhook" else probe_destination
    waiting = threading.Thread(target=send, args=[made])
    waiting.start()
    assert hanging.came.wait(10)
    with pytest.raises(LimitReached):
        send(made)
    hanging.go.set()
    waiting.join(20)
    assert not trials._since
