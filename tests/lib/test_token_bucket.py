"""A bucket gives what its rate and its burst allow, never more, and refuses nothing for ever."""

from hypothesis import given
from hypothesis import strategies as st

from eventsinks.lib.token_bucket import BUCKETS, BucketAsk, TokenBuckets, count_seconds_until

steps = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 60), st.integers(0, 60)), max_size=60)


def given_by(buckets, ask, now):
    (answer,) = buckets.take([ask], now)
    return answer.taken


@given(rate=st.floats(0.01, 50), burst=st.integers(1, 40), steps=steps)
def test_in_no_stretch_of_time_is_more_given_than_the_rate_and_the_burst_allow(rate, burst, steps):
    buckets, now, takings = TokenBuckets(), 0.0, []
    for pause, need, more in steps:
        now += pause
        takings.append((now, given_by(buckets, BucketAsk("b", rate, burst, need, need + more), now)))
    largest = max([burst, *(need for _, need, _ in steps)])
    for first, (since, _) in enumerate(takings):
        for last in range(first, len(takings)):
            total = sum(taken for _, taken in takings[first : last + 1])
            assert total <= rate * (takings[last][0] - since) + largest + 1e-3


@given(rate=st.floats(0.01, 50), burst=st.integers(1, 40), need=st.integers(1, 10_000), before=steps)
def test_whatever_came_before_a_request_passes_after_the_time_that_it_was_told(rate, burst, need, before):
    buckets, now = TokenBuckets(), 0.0
    for pause, number, _ in before:
        now += pause
        buckets.take([BucketAsk("b", rate, burst, number)], now)
    ask = BucketAsk("b", rate, burst, need)
    (answer,) = buckets.take([ask], now)
    if not answer.taken:
        now += count_seconds_until(ask, answer.left)
        assert given_by(buckets, ask, now) == need


def test_more_than_the_burst_passes_through_a_full_bucket_and_is_owed():
    buckets = TokenBuckets()
    assert given_by(buckets, BucketAsk("b", 10, 50, 1000), 0) == 1000
    assert given_by(buckets, BucketAsk("b", 10, 50, 1), 95) == 0
    assert given_by(buckets, BucketAsk("b", 10, 50, 1), 95.2) == 1


def test_it_is_all_or_nothing():
    buckets = TokenBuckets()
    assert given_by(buckets, BucketAsk("b", 1, 10, 8), 0) == 8
    assert given_by(buckets, BucketAsk("b", 1, 10, 3), 0) == 0
    assert given_by(buckets, BucketAsk("b", 1, 10, 2), 0) == 2


def test_more_than_is_needed_is_given_only_where_there_is_plenty():
    buckets = TokenBuckets()
    assert given_by(buckets, BucketAsk("b", 1, 80, 10, 30), 0) == 30
    assert given_by(buckets, BucketAsk("b", 1, 80, 10, 60), 0) == 40  # an eighth of the burst is kept for others
    assert given_by(buckets, BucketAsk("b", 1, 80, 10, 60), 0) == 10
    assert given_by(buckets, BucketAsk("b", 1, 80, 10, 60), 0) == 0


def test_looking_takes_nothing():
    buckets = TokenBuckets()
    for _ in range(3):
        assert buckets.take([BucketAsk("b", 1, 10, 0)], 0) == [(0, 10)]


def test_one_bucket_knows_nothing_of_another():
    buckets = TokenBuckets()
    assert given_by(buckets, BucketAsk("a", 1, 5, 5), 0) == 5
    assert given_by(buckets, BucketAsk("b", 1, 5, 5), 0) == 5


def test_a_burst_that_was_lowered_holds_at_once():
    buckets = TokenBuckets()
    buckets.take([BucketAsk("b", 1, 100, 1)], 0)
    assert given_by(buckets, BucketAsk("b", 1, 5, 5), 0) == 5
    assert given_by(buckets, BucketAsk("b", 1, 5, 1), 0) == 0


def test_a_process_keeps_so_many_buckets_and_no_more():
    buckets = TokenBuckets()
    for number in range(BUCKETS + 10):
        buckets.take([BucketAsk(str(number), 1, 5, 1)], 0)
    assert len(buckets._kept) == BUCKETS
