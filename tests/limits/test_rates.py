"""Rates: one bucket for all processes where Redis is there, one for each where it is not; nobody pays for that."""

import time

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eventsinks.lib.token_bucket import LUA, BucketAsk
from eventsinks.limits import broker_state, rates
from tests.helpers.broker import Broker, forget_client, free_port, point_at_redis
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["with Redis", "without"])
def anywhere(request):
    """Run a test with the shared buckets, and with those of the process."""
    if request.param == "with Redis":
        request.getfixturevalue("shared_by_all")


def passed(tenant, name, tries):
    return sum(rates.take_tokens(tenant, name) is None for _ in range(tries))


def commands(client):
    return client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)


def test_the_burst_passes_at_once_and_the_rest_is_told_when(anywhere, acme, limit):
    limit(acme, alerts_per_s=2)
    assert 20 <= passed(acme, "alerts_per_s", 30) <= 25
    wait = rates.take_tokens(acme, "alerts_per_s", 6)
    assert wait.seconds == 3
    assert wait.used >= 19


def test_after_the_time_that_was_told_it_passes(anywhere, acme, limit):
    limit(acme, alerts_per_s=5)
    assert rates.take_tokens(acme, "alerts_per_s", 50) is None
    wait = rates.take_tokens(acme, "alerts_per_s", 3)
    assert wait.seconds == 1
    time.sleep(wait.seconds)
    assert rates.take_tokens(acme, "alerts_per_s", 3) is None


def test_a_request_larger_than_the_burst_passes_and_then_nothing_does(anywhere, acme, limit):
    limit(acme, alerts_per_s=1)
    assert rates.take_tokens(acme, "alerts_per_s", 1000) is None
    assert rates.take_tokens(acme, "alerts_per_s", 1).seconds > 900


@pytest.mark.guarantee("S19")
def test_one_tenant_uses_nothing_of_another(anywhere, acme, globex, limit):
    limit(acme, alerts_per_s=1), limit(globex, alerts_per_s=1)
    assert passed(acme, "alerts_per_s", 20) < 20
    assert rates.take_tokens(globex, "alerts_per_s", 10) is None


def test_looking_at_what_is_used_uses_nothing(anywhere, acme, limit):
    limit(acme, alerts_per_s=10)
    assert rates.measure_used(acme, ["alerts_per_s", "events_per_s"]) == [0, 0]
    rates.take_tokens(acme, "alerts_per_s", 40)
    assert 39 <= rates.measure_used(acme, ["alerts_per_s"])[0] <= 40
    assert 39 <= rates.measure_used(acme, ["alerts_per_s"])[0] <= 40


def test_a_limit_that_was_raised_holds_at_once_also_for_who_was_just_refused(anywhere, acme, limit):
    limit(acme, replays_per_h=1)
    assert rates.take_tokens(acme, "replays_per_h") is None
    assert rates.take_tokens(acme, "replays_per_h").seconds > 3000
    limit(acme, replays_per_h=100_000)
    assert (
        rates.take_tokens(acme, "replays_per_h", 1) is None
        or time.sleep(1)
        or rates.take_tokens(acme, "replays_per_h") is None
    )


@pytest.mark.guarantee("S19")
def test_processes_share_one_bucket(shared_by_all, acme, limit):
    limit(acme, alerts_per_s=1)
    assert rates.take_tokens(acme, "alerts_per_s", 10) is None
    rates.forget()  # what another process knows
    assert rates.take_tokens(acme, "alerts_per_s", 5) is not None


def test_many_threads_at_once_get_no_more_than_there_is(anywhere, acme, limit):
    limit(acme, alerts_per_s=10)
    began = time.monotonic()
    through = sum(at_once(20, lambda index: passed(acme, "alerts_per_s", 20)))
    took = time.monotonic() - began
    assert through >= 100 - 10
    assert through <= 100 + 10 * (took + 1)


def test_who_sends_much_asks_redis_for_less_than_one_in_ten(shared_by_all, acme):
    before = commands(shared_by_all)
    assert passed(acme, "alerts_per_s", 1000) == 1000
    assert commands(shared_by_all) - before < 100


def test_who_is_refused_asks_redis_no_more_until_it_may_pass(shared_by_all, acme, limit):
    limit(acme, replays_per_h=1)
    passed(acme, "replays_per_h", 2)
    before = commands(shared_by_all)
    assert passed(acme, "replays_per_h", 500) == 0
    assert commands(shared_by_all) - before <= 2  # a second may have passed


def test_emptying_redis_fills_the_buckets_and_does_no_harm(shared_by_all, acme, limit):
    limit(acme, alerts_per_s=1)
    assert rates.take_tokens(acme, "alerts_per_s", 10) is None
    shared_by_all.flushall()
    shared_by_all.script_flush()
    rates.forget()
    assert rates.take_tokens(acme, "alerts_per_s", 10) is None


def test_a_bucket_that_is_full_again_is_not_kept(shared_by_all, acme, limit):
    limit(acme, alerts_per_s=100)
    rates.take_tokens(acme, "alerts_per_s", 10)
    (key,) = shared_by_all.keys("eventsinks:rate:*")
    assert 0 < shared_by_all.pttl(key) <= 2000
    assert acme.id.hex.encode() not in key


def test_several_buckets_are_asked_in_one_round_trip(shared_by_all):
    rates.ask_buckets([BucketAsk("eventsinks:rate:c", 1, 10, 1)])  # Redis knows the script from here on
    before = commands(shared_by_all)
    answers = rates.ask_buckets(
        [BucketAsk(f"eventsinks:rate:{name}", 1, 10, number) for name, number in (("a", 4), ("b", 11))]
    )
    assert [(answer.taken, answer.left) for answer in answers] == [(4, 6), (11, -1)]
    assert commands(shared_by_all) - before == 1


@given(steps=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=20))
@hypothesis_settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
def test_the_shared_bucket_gives_no_more_than_the_rate_and_the_burst_allow(shared_by_all, steps):
    shared_by_all.flushdb()
    rate, burst, began, total = 50.0, 20, time.monotonic(), 0
    for need, more in steps:
        taken, _ = shared_by_all.eval(LUA, 1, "b", rate, burst, need, need + more)
        total += taken
        assert total <= rate * (time.monotonic() - began) + max(burst, 30) + 1e-3


@given(numbers=st.lists(st.integers(1, 50), max_size=30))
@hypothesis_settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize(
    "error", [redis.ConnectionError("gone"), redis.TimeoutError("late"), ValueError("nonsense")]
)
def test_whatever_redis_raises_refuses_nobody(acme, limit, monkeypatch, error, numbers):
    def raises():
        raise error

    rates.forget()
    monkeypatch.setattr(broker_state, "_quiet_until", 0.0)
    monkeypatch.setattr(broker_state, "get_client", raises)
    limit(acme, alerts_per_s=200)
    assert [rates.take_tokens(acme, "alerts_per_s", number) for number in numbers] == [None] * len(numbers)


def test_a_redis_that_is_away_is_asked_once_in_some_seconds(acme, settings, monkeypatch):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    point_at_redis(monkeypatch)
    asked = []
    real = broker_state.get_client
    monkeypatch.setattr(broker_state, "get_client", lambda: asked.append(1) or real())
    assert passed(acme, "alerts_per_s", 500) == 500
    assert len(asked) == 2  # once for the script, once to run it


def test_a_redis_that_dies_and_comes_back_is_used_again(tmp_path, settings, monkeypatch, acme, limit):
    limit(acme, alerts_per_s=1)
    broker = Broker(tmp_path)
    broker.start()
    settings.REDIS_URL = broker.url
    point_at_redis(monkeypatch)
    assert rates.take_tokens(acme, "alerts_per_s", 10) is None
    broker.stop()
    rates.forget()
    assert rates.take_tokens(acme, "alerts_per_s", 10) is None  # by this process's own
    broker.start()
    monkeypatch.setattr(broker_state, "_quiet_until", 0.001)
    rates.forget()
    assert rates.take_tokens(acme, "alerts_per_s", 4) is None
    with redis.Redis.from_url(broker.url) as client:
        assert client.keys("eventsinks:rate:*")
    broker_state.get_client().close()
    forget_client()
    broker.stop()
