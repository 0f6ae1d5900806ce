"""Why a delivery waits is one rule, and the claim keeps to the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks import tasks, telemetry
from eventsinks.actions import configure
from eventsinks.actions.obstacles import FEW, WORDS, Obstacle, count_by_obstacle, describe_obstacle, find_obstacle
from eventsinks.models import Delivery, Destination
from eventsinks.models.delivery import claim, find_due_lanes
from eventsinks.models.options import Options
from eventsinks.sending.judge import get_max_tries
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


def soon():
    return timezone.now() + timedelta(minutes=5)


def ago(seconds):
    return timezone.now() - timedelta(seconds=seconds)


# What is true of a sink and of its one delivery, and what stands in the way then.
SINKS = [
    ({}, None),
    ({"deleted_at": ago(1)}, Obstacle.DELETED),
    ({"state": "resuming"}, Obstacle.RESUMING),
    ({"state": "paused"}, Obstacle.PAUSED),
    ({"state": "parked", "state_reason": "410"}, Obstacle.PARKED),
    ({"held_until": soon()}, Obstacle.HELD),
    ({"held_until": ago(1)}, None),
    ({"held_until": soon(), "breaker": "open"}, Obstacle.BREAKER),
    ({"held_until": ago(1), "breaker": "open"}, None),
    ({"breaker": "half_open", "breaker_at": soon(), "probes": 0}, Obstacle.PROBES),
    ({"breaker": "half_open", "breaker_at": soon(), "probes": 1}, None),
    ({"breaker": "half_open", "breaker_at": ago(1), "probes": 0}, None),
    ({"breaker": "ramp", "breaker_at": ago(1), "limited_until": soon()}, Obstacle.RAMP),
    ({"breaker": "ramp", "breaker_at": ago(1)}, None),
    ({"limited_until": soon(), "rate_limit_per_s": 0.5}, Obstacle.RATE_LIMIT),
    ({"limited_until": ago(1), "rate_limit_per_s": 0.5}, None),
    ({"paced_until": soon(), "rate_key": "slack:C1"}, Obstacle.TURN),
    ({"paced_until": ago(1)}, None),
]
DELIVERIES = [
    ({}, None),
    ({"due_at": soon(), "tries": 2, "reason": "503"}, Obstacle.LATER),
    ({"tries": 2, "reason": "503"}, None),
    ({"tries": 99}, Obstacle.NO_TRIES),
    ({"due_at": ago(3600)}, Obstacle.UNCLAIMED),
]


def can_be_claimed(delivery):
    """Whether the engine takes it now. (Turns and limits are taken before; due_lanes asks for both.)"""
    lanes = [
        (lane, 10) for lane in find_due_lanes(get_max_tries()) if lane.destination_id == delivery.destination_id
    ]
    return delivery.id in {one.id for one in claim(lanes, 60)} if lanes else False


@pytest.fixture
def delivery(make_webhook, make_alert):
    make_webhook()
    make_alert()
    return Delivery.objects.get()


@pytest.mark.parametrize(("sink", "in_the_way"), SINKS)
@pytest.mark.parametrize(("columns", "own"), DELIVERIES)
def test_what_is_in_the_way_is_what_keeps_the_engine_from_claiming(delivery, sink, in_the_way, columns, own):
    Destination.objects.update(**sink)
    Delivery.objects.update(**columns)
    delivery = Delivery.objects.select_related("destination").get()
    wait = find_obstacle(delivery)
    expected = {in_the_way, own} - {None} or {None}
    assert (wait.obstacle if wait else None) in expected
    assert can_be_claimed(delivery) == (wait is None or wait.obstacle == Obstacle.UNCLAIMED)


def test_an_earlier_one_of_its_line_is_named(make_webhook, make_alert):
    make_webhook()
    make_alert(dedup_key="db")
    make_alert(dedup_key="db")
    first, second = Delivery.objects.select_related("destination").order_by("id")
    wait = find_obstacle(second)
    assert (wait.obstacle, wait.first, find_obstacle(first)) == (Obstacle.EARLIER, first, None)
    assert str(first.id) in describe_obstacle(second, wait)
    assert not can_be_claimed(second)


def test_behind_a_slow_sink_the_number_of_those_before_it_is_told(delivery, make_alert):
    Delivery.objects.update(due_at=ago(30))
    make_alert()
    last = Delivery.objects.select_related("destination").order_by("-id").first()
    Delivery.objects.filter(id=last.id).update(due_at=ago(20))
    last.refresh_from_db()
    wait = find_obstacle(last)
    assert (wait.obstacle, wait.ahead) == (Obstacle.QUEUE, 1)
    assert "1 of the same event sink are due before it" in describe_obstacle(last, wait)
    assert FEW > 1


def test_every_obstacle_has_its_words():
    assert WORDS.keys() == set(Obstacle)


def test_the_api_and_explain_and_the_metrics_tell_the_same(acme_key, delivery):
    configure.pause(delivery.destination)
    api = Caller(acme_key)
    told = api.get(f"/v1/delivery/{delivery.id}").json()["delivery"]["waiting"]
    (explained,) = api.get(f"/v1/detection_alert/{delivery.event.key}/explain").json()["event_sinks"]
    words = "until somebody resumes the event sink, which is paused"
    assert (told["obstacle"], told["text"]) == ("paused", words)
    assert words in explained["why"]
    tasks.account()
    assert 'eventsinks_waiting_deliveries{obstacle="paused"} 1.0' in telemetry.write_facts().decode()
    assert dict(count_by_obstacle()) == {"paused": 1}


def test_what_is_not_pending_waits_for_nothing(acme_key, delivery):
    Delivery.objects.update(state="failed")
    assert Caller(acme_key).get(f"/v1/delivery/{delivery.id}").json()["delivery"]["waiting"] is None


def test_a_rate_limit_is_told_with_its_number(make_webhook, make_alert):
    make_webhook(options=Options(rate_limit_per_s=0.5))
    make_alert()
    Destination.objects.update(limited_until=soon())
    waits = Delivery.objects.select_related("destination").get()
    assert (
        describe_obstacle(waits, find_obstacle(waits)) == ": the event sink is sent at most 0.5 messages a second"
    )
