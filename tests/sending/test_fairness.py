"""Fairness: what a sink that hangs may hold, and that everybody has a turn, for any lanes and any past."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.models.delivery import Lane
from eventsinks.sending.fairness import (
    FIRST_WINDOW,
    LARGEST_WINDOW,
    SMALLEST_WINDOW,
    CongestionWindows,
    split_quota,
)

LANES = st.sets(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=60).map(
    lambda pairs: [Lane(sink, tries, 1) for sink, tries in pairs]
)
PAST = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["sent", "well", "slowly", "ill"])), max_size=200)
examples = settings(deadline=None, max_examples=200, database=None)


def windows_after(past):
    """Return the windows of a worker with this past; what was never sent can't end."""
    windows = CongestionWindows()
    for sink, what in past:
        if what == "sent":
            windows.note_sent(sink)
        elif windows.in_flight[sink]:
            windows.note_ended(sink, well=what != "ill", seconds=30.0 if what == "slowly" else 0.1)
    return windows


def by_sink(quotas):
    total = {}
    for lane, quota in quotas:
        total[lane.destination_id] = total.get(lane.destination_id, 0) + quota
    return total


@examples
@given(LANES, PAST, st.integers(0, 300))
def test_no_claim_is_larger_than_the_room_and_no_sink_above_its_share(lanes, past, room):
    windows = windows_after(past)
    quotas = windows.share_out(lanes, room)
    assert sum(quota for _, quota in quotas) <= room
    assert all(quota > 0 for _, quota in quotas)
    for sink, total in by_sink(quotas).items():
        assert total <= windows.count_left(sink)
        assert total + windows.in_flight[sink] <= LARGEST_WINDOW
    assert len({lane for lane, _ in quotas}) == len(quotas)
    assert {lane for lane, _ in quotas} <= set(lanes)


@examples
@given(LANES, PAST, st.integers(40, 300))
def test_with_room_for_all_every_sink_that_has_a_share_left_has_a_turn(lanes, past, room):
    windows = windows_after(past)
    waiting = {lane.destination_id for lane in lanes if windows.count_left(lane.destination_id)}
    assert set(by_sink(windows.share_out(lanes, room))) == waiting


@pytest.mark.guarantee("R24")
@examples
@given(LANES, PAST, st.integers(0, 300))
def test_first_tries_get_at_least_half_of_their_sinks_quota(lanes, past, room):
    quotas = windows_after(past).share_out(lanes, room)
    for sink, total in by_sink(quotas).items():
        fewest = min(lane.tries for lane in lanes if lane.destination_id == sink)
        first = sum(q for lane, q in quotas if (lane.destination_id, lane.tries) == (sink, fewest))
        assert first * 2 >= total


@examples
@given(PAST)
def test_a_share_stays_within_its_bounds(past):
    windows = windows_after(past)
    for sink in range(1, 41):
        assert 0 <= windows.count_left(sink) <= LARGEST_WINDOW
        assert windows.count_left(sink) + windows.in_flight[sink] >= SMALLEST_WINDOW


@settings(deadline=None, max_examples=20, database=None)
@given(st.integers(2, 60), st.integers(4, 30))
def test_with_more_sinks_than_room_everybody_has_a_turn_in_the_end(sinks, room):
    lanes = [Lane(sink, 0, 1) for sink in range(sinks)]
    windows, served = CongestionWindows(), set()
    random.seed(sinks * 1000 + room)
    for _ in range(30 * (sinks // room + 1)):
        served |= set(by_sink(windows.share_out(lanes, room)))
    assert served == set(range(sinks))


@examples
@given(st.integers(0, 300), st.integers(1, 10))
def test_a_quota_is_split_without_loss(quota, lanes):
    parts = split_quota([Lane(1, tries, 1) for tries in random.sample(range(10), lanes)], quota)
    assert sum(part for _, part in parts) == quota
    assert [lane.tries for lane, _ in parts] == sorted(lane.tries for lane, _ in parts)


def test_a_sink_earns_more_by_answering_and_loses_half_by_failing():
    windows = CongestionWindows()
    assert windows.count_left(1) == FIRST_WINDOW
    for _ in range(1000):
        windows.note_sent(1)
        windows.note_ended(1, well=True)
    assert windows.count_left(1) == LARGEST_WINDOW
    windows.note_sent(1)
    windows.note_ended(1, well=False)
    assert windows.count_left(1) == LARGEST_WINDOW / 2
    for _ in range(100):
        windows.note_sent(1)
        windows.note_ended(1, well=False)
    assert windows.count_left(1) == SMALLEST_WINDOW


def test_a_sink_that_takes_all_but_slowly_falls_back_to_a_small_share_and_no_further():
    windows = CongestionWindows()
    for _ in range(500):
        windows.note_sent(1)
        windows.note_ended(1, well=True, seconds=0.1)
    assert windows.count_left(1) == LARGEST_WINDOW
    for _ in range(20):
        windows.note_sent(1)
        windows.note_ended(1, well=True, seconds=5.0)
    assert windows.count_left(1) == FIRST_WINDOW


def test_a_slow_answer_earns_nothing_after_failures():
    windows = CongestionWindows()
    for well in (False, False, False, True, True):
        windows.note_sent(1)
        windows.note_ended(1, well=well, seconds=5.0)
    assert windows.count_left(1) == SMALLEST_WINDOW


def test_what_is_in_flight_counts_against_the_share():
    windows = CongestionWindows()
    for _ in range(int(FIRST_WINDOW)):
        windows.note_sent(1)
    assert windows.count_left(1) == 0
    assert by_sink(windows.share_out([Lane(1, 0, 1), Lane(2, 0, 1)], 300)) == {2: FIRST_WINDOW}
    windows.note_ended(1, well=True)
    assert windows.count_left(1) == 2


@pytest.mark.parametrize("room", [0, 1])
def test_without_room_nothing_is_claimed(room):
    assert len(CongestionWindows().share_out([Lane(1, 0, 1), Lane(2, 0, 1)], room)) == room
