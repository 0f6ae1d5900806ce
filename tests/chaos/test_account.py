"""The account of `make chaos`: what it takes for a broken promise."""

import pytest

from chaos.account import Verdict, assign, judge
from chaos.far_ends import Arrival
from chaos.load import Accepted
from chaos.names import ORDERED
from chaos.world import Done

PAGE, LINED, FLOW = "chaos-page-000001", "chaos-ordered-000001", "chaos-flow-000001"
GOOD = [
    *(Arrival(place, PAGE, f"{place} 1", 10.0) for place in ("plain", "moody", "pagerduty")),
    *(Arrival(place, LINED, f"{place} 2", 11.0) for place in ("plain", "moody", *ORDERED)),
    Arrival("http", FLOW, "http 3", 12.0),
]
ACCEPTED = [Accepted(PAGE, "page", 1.0, 1), Accepted(LINED, "ordered", 1.0, 1), Accepted(FLOW, "flow", 1.0, 1)]
KILL = Done("worker killed", 1, 20.0, 20.0, sending=3, forgets=True)


def broken(arrivals, bucket=None, done=(KILL,)):
    """Return the names of the promises that these arrivals break."""
    verdict = Verdict()
    judge(verdict, ACCEPTED, arrivals, {FLOW: 1} if bucket is None else bucket, done)
    return [said.partition(":")[0] for said in verdict.broken]


def again(place, event, id, at):
    return [*GOOD, Arrival(place, event, id, at)]


def test_what_arrived_once_everywhere_breaks_nothing():
    assert broken(GOOD) == []


@pytest.mark.parametrize("place", range(len(GOOD)))
def test_one_that_did_not_arrive_at_one_place_is_lost(place):
    assert "lost" in broken(GOOD[:place] + GOOD[place + 1 :])


def test_one_that_is_not_in_s3_is_lost_and_twice_in_s3_is_too_often():
    assert broken(GOOD, bucket={}) == ["lost"]
    assert broken(GOOD, bucket={FLOW: 2}) == ["in S3 more than once"]


def test_twice_is_allowed_around_a_kill_and_under_the_same_id_alone():
    assert broken(again("plain", PAGE, "plain 1", 30.0)) == []
    assert broken(again("plain", PAGE, "plain 1", 30.0), done=[]) != []
    assert broken(again("plain", PAGE, "plain 1", 15.0)) != []  # before the kill
    assert broken(again("plain", PAGE, "another", 30.0)) == ["under a second id"]


def test_an_id_that_stands_for_two_events_is_wrong():
    assert broken(again("plain", FLOW, "plain 1", 13.0)) == ["under a second id"]


def test_one_kill_explains_one_duplicate_at_an_ordered_sink_and_in_flight_elsewhere():
    gaps = [(10.0, 30.0), (11.0, 31.0), (12.0, 32.0), (13.0, 33.0)]
    assert assign(gaps, [KILL], each=1)[1] == 3
    assert assign(gaps, [KILL])[1] == 1  # three were being sent
    assert assign(gaps, [KILL, KILL], each=1)[1] == 2


def test_each_duplicate_gets_a_harm_if_there_is_a_way():
    early, late = Done("a", 1, 12.0, 12.0), Done("b", 1, 22.0, 22.0)
    assert assign([(10.0, 30.0), (10.0, 15.0)], [early, late], each=1)[1] == 0
    assert assign([(10.0, 15.0), (10.0, 16.0)], [early, late], each=1)[1] == 1


def test_a_later_alert_before_an_earlier_one_is_disorder():
    later = [Arrival(place, "chaos-ordered-000002", f"{place} 4", 5.0) for place in ORDERED]
    assert broken([*later, *GOOD]) == [f"at {place}, in order" for place in ORDERED]
