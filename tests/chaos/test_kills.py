"""Kills at named points: whatever dies, and when, all that was accepted arrives, and little of it twice.

`make chaos` does the same at random, under load.
"""

from datetime import timedelta
from uuid import UUID

import pytest
import redis
from django.db.models.functions import Now

from eventsinks.intake import line_up
from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.models.options import Options
from eventsinks.sending.breaker import PROBES

pytestmark = pytest.mark.django_db(transaction=True)
POINTS = ["after claim", "while sending", "after send", "during settle", "after settle"]


def events():
    """Return the alerts. (A change of a sink is an event too: of the audit log.)"""
    return Event.objects.filter(type="detection_alert")


def empty(queue):
    with redis.Redis.from_url(queue.url) as client:
        client.flushall()


def held():
    return Delivery.objects.filter(state="sending").count()


def accounted(receiver, accepted):
    """Assert that each accepted event arrived, under the id of its one delivery; return how many came twice."""
    assert set(events().values_list("key", flat=True)) >= set(accepted)
    deliveries = {str(id): key for id, key in Delivery.objects.values_list("id", "event__key")}
    assert sorted(deliveries.values()) == sorted(events().values_list("key", flat=True))
    came = receiver.ids()
    assert set(came) == set(deliveries)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    return sum(came.values()) - len(came)


@pytest.mark.guarantee("R3")
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_at_any_point_loses_nothing(
    point, live, queue, receiver, make_webhook, make_alert, let_leases_run_out
):
    make_webhook(receiver.url())
    accepted, at_risk = [], 0
    for round_ in range(2):
        accepted += [key for number in range(40) for key in make_alert(id=f"{round_}-{number}").keys]
        live("deliver", point, killed=True)
        in_flight = held()
        assert in_flight or point == "after settle"
        at_risk += in_flight
        empty(queue)
        let_leases_run_out()
    live("deliver", "nowhere", killed=False)
    doubled = accounted(receiver, accepted)
    assert doubled <= at_risk
    if point == "after claim":
        assert doubled == 0
    if point in ("after send", "during settle"):
        assert doubled > 0  # at least once is not exactly once


def test_a_worker_killed_during_settling_leaves_neither_half(live, receiver, make_webhook, make_alert):
    make_webhook(receiver.url())
    make_alert()
    live("deliver", "during settle", killed=True)
    assert len(receiver.got) == 1
    assert (held(), Attempt.objects.count()) == (1, 0)


@pytest.mark.guarantee("R3")
def test_an_accepting_process_killed_between_commit_and_nudge_has_lost_nothing(
    live, queue, receiver, make_webhook
):
    make_webhook(receiver.url())
    told = live("accept", "after commit", 10, "a", killed=True)
    assert len(told) == 9  # the tenth was committed, and its sender never heard of it
    assert events().count() == 10
    told += live("accept", "nowhere", 10, "a", killed=False)  # so it sends them all again
    empty(queue)
    live("deliver", "nowhere", killed=False)
    assert accounted(receiver, told) == 0
    assert events().count() == 10


@pytest.mark.guarantee("R3")
def test_an_accepting_process_killed_before_its_commit_has_accepted_nothing(live, receiver, make_webhook):
    make_webhook(receiver.url())
    told = live("accept", "before commit", 10, "a", killed=True)
    assert len(told) == events().count() == Delivery.objects.count() == 9
    live("deliver", "nowhere", killed=False)
    assert accounted(receiver, told) == 0


@pytest.mark.parametrize("point", ["after claim", "after send", "during settle", "after settle"])
def test_a_worker_killed_with_the_probes_of_a_breaker_leaves_nothing_stuck(
    live, receiver, make_webhook, make_alert, let_leases_run_out, point
):
    make_webhook(receiver.url())
    for _ in range(20):
        make_alert()
    Destination.objects.update(breaker="open", trouble=2, held_until=Now() - timedelta(seconds=1))
    live("deliver", point, killed=True)
    sink = Destination.objects.get()
    settled = {"ramp"} if point == "after settle" else set()  # where all five are settled at once
    assert sink.breaker in {"half_open"} | settled
    assert sink.probes == 0
    if sink.breaker == "half_open":
        Destination.objects.update(breaker_at=Now() + timedelta(hours=1))  # a start may take longer than a lease
        live("deliver", "nowhere", killed=False)
        assert len(receiver.got) <= PROBES["event_sink"]
        let_leases_run_out()
        Destination.objects.update(breaker_at=Now() - timedelta(seconds=1))
        live("deliver", "nowhere", killed=False)
    assert Destination.objects.get().breaker == "ramp"
    Destination.objects.update(breaker_at=Now() - timedelta(hours=1), limited_until=None)
    live("deliver", "nowhere", killed=False)
    assert not Delivery.objects.exclude(state="delivered").exists()
    assert max(receiver.ids().values()) <= 2


@pytest.mark.guarantee("R7")
def test_an_event_whose_workers_are_always_killed_fails_in_the_end(
    live, receiver, make_webhook, make_alert, let_leases_run_out
):
    make_webhook(receiver.url())
    make_alert()
    Delivery.objects.update(tries=19)
    for _ in range(2):
        live("deliver", "after claim", killed=True)
        let_leases_run_out()
    live("deliver", "nowhere", killed=False)
    failed = Delivery.objects.get()
    assert (failed.state, failed.tries) == ("failed", 21)
    assert receiver.got == []


@pytest.mark.guarantee("R3", "R22")
@pytest.mark.parametrize("point", ["after claim", "after start", "after send", "during settle", "after settle"])
def test_a_kill_doubles_at_most_one_at_a_sink_that_orders_them_all(
    point, live, queue, receiver, make_webhook, make_alert, let_leases_run_out
):
    make_webhook(receiver.url(), options=Options(ordering="event_sink"))
    accepted = [key for number in range(12) for key in make_alert(id=f"{number:02}").keys]
    doubled = 0
    for _ in range(4):
        live("deliver", point, killed=True)
        assert held() <= 1
        empty(queue)
        let_leases_run_out()
        line_up.call_uncalled()
        now = sum(receiver.ids().values()) - len(receiver.ids())
        assert now - doubled <= 1
        doubled = now
    live("deliver", "nowhere", killed=False)
    doubled = accounted(receiver, accepted)
    assert doubled <= 4
    if point in ("after send", "during settle"):
        assert doubled == 4  # of each kill one, and not more
    if point in ("after claim", "after settle"):
        assert doubled == 0
    keys = dict(Delivery.objects.values_list("id", "event__key"))
    came = [keys[UUID(got.header("webhook-id"))] for got in receiver.got]
    assert came == sorted(came)


def test_without_ordering_a_kill_doubles_what_was_in_flight(
    live, receiver, make_webhook, make_alert, let_leases_run_out
):
    make_webhook(receiver.url())
    accepted = [key for number in range(12) for key in make_alert(id=f"{number}").keys]
    live("deliver", "during settle", killed=True)
    in_flight = held()
    let_leases_run_out()
    live("deliver", "nowhere", killed=False)
    assert 1 < accounted(receiver, accepted) <= in_flight
