"""The limit of an event sink: so many messages a second at most, over all workers and lanes, and none is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.explain import explain_event
from eventsinks.models import Delivery, Destination, Event
from eventsinks.models.delivery import Lookout, find_due_lanes, lease_limited_sinks, lease_rate_keys
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.crowd import at_once
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db
MILLISECOND = timedelta(milliseconds=1)  # is as exact as SQLite's clock
URL, OTHER = "https://limited.example/", "https://free.example/"


@pytest.fixture
def limited(make_webhook, make_alert):
    """Return what makes a sink with a limit, and so many alerts for it."""

    def make(rate, alerts, **fields):
        sink = make_webhook(URL, options=Options(rate_limit_per_s=rate), **fields)
        for number in range(alerts):
            make_alert(id=f"{number}", event_sink_ids=[str(sink.uuid)])
        return sink

    return make


def claim(world):
    """Let one worker claim once, and return how many messages that sent."""
    before = len(world.sent(URL))
    dispatcher = Dispatcher(world)
    dispatcher._claim()
    dispatcher._end(world.poll(0))
    dispatcher._ended.settle_at = 0
    dispatcher._ended.settle_if_due(world.in_flight)
    return len(world.sent(URL)) - before


def let_it_pass(seconds=-1):
    Destination.objects.update(limited_until=timezone.now() + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("rate", "due", "at_a_time", "pause"),
    [(3, 8, 3, 1.0), (0.5, 8, 1, 2.0), (1.5, 8, 2, 4 / 3), (0.001, 8, 1, 1000.0), (10, 1, 1, 0.1)],
)
def test_a_claim_takes_what_goes_in_a_second_and_the_next_one_waits_as_long_as_that_takes(
    limited, rate, due, at_a_time, pause
):
    sink, world = limited(rate, alerts=due), World()
    before = timezone.now()
    assert claim(world) == at_a_time
    until = Destination.objects.get(pk=sink.pk).limited_until - timedelta(seconds=pause)
    assert before - MILLISECOND <= until <= timezone.now() + MILLISECOND
    let_it_pass(3600)
    assert claim(world) == 0
    let_it_pass()
    assert claim(world) == min(due - at_a_time, at_a_time)


def test_tries_that_are_made_again_count_too(limited):
    limited(2, alerts=6)
    for number, delivery in enumerate(Delivery.objects.order_by("id")):
        Delivery.objects.filter(pk=delivery.pk).update(tries=number % 3)
    assert claim(World()) == 2


def test_a_sink_beside_it_that_has_no_limit_is_not_slowed(limited, make_webhook, make_alert):
    limited(1, alerts=3)
    other = make_webhook(OTHER)
    for number in range(5):
        make_alert(id=f"other {number}", event_sink_ids=[str(other.uuid)])
    world = World()
    assert claim(world) == 1
    assert len(world.sent(OTHER)) == 5


def test_everything_arrives_in_the_end(limited):
    limited(100, alerts=30)
    world = World()
    assert Dispatcher(world).run() == 30
    assert len(set(world.sent(URL))) == 30
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_what_a_worker_that_died_took_is_free_when_its_lease_is_over(limited):
    sink = limited(5, alerts=5)
    assert lease_limited_sinks([sink.id], 60.0) == {sink.id}
    assert claim(World()) == 0
    let_it_pass()
    assert claim(World()) == 5


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_at_the_same_moment_one_claims(limited):
    sink = limited(5, alerts=1)
    results = at_once(8, lambda index: lease_limited_sinks([sink.id], 60.0))
    assert sorted(map(len, results)) == [0] * 7 + [1]


def test_without_a_limit_again_it_waits_no_longer(limited):
    sink = limited(0.001, alerts=4)
    assert claim(World()) == 1
    assert "at most 0.001 messages a second" in explain_event(Event.objects.get(key="3"))[0].why
    configure.change(sink, options=Options(rate_limit_per_s=None))
    assert claim(World()) == 3


def test_a_sink_whose_place_is_taken_is_not_counted(limited, monkeypatch):
    sink = limited(1, alerts=2)
    Destination.objects.update(rate_key="webhook:shared", paced_until=None)
    stale = find_due_lanes(10)
    monkeypatch.setattr(Lookout, "due_lanes", lambda self, tries: stale)
    assert lease_rate_keys(["webhook:shared"], 60.0)  # another worker's
    assert claim(World()) == 0
    assert Destination.objects.get(pk=sink.pk).limited_until <= timezone.now() + MILLISECOND
