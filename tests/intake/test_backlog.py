"""A sink's backlog has an end: what comes then has failed at once, is on record, and is replayed later."""

import time

import pytest

from eventsinks.actions.explain import explain_event
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.usage import measure_usage
from eventsinks.event_types import event_type
from eventsinks.intake import backlog
from eventsinks.intake.accept import accept
from eventsinks.models import Delivery, Event
from eventsinks.models.delivery import count_open
from eventsinks.models.options import Options
from eventsinks.sweeping.fall_back import fall_back_everywhere
from tests.helpers import replays
from tests.helpers.counts import audit_account
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def states(sink):
    rows = Delivery.objects.filter(destination=sink).values_list("state", flat=True)
    return {state: list(rows).count(state) for state in sorted(set(rows))}


def deliver_all(sink):
    Delivery.objects.filter(destination=sink, state="pending").update(state="delivered")
    backlog.forget()


@pytest.mark.guarantee("R21")
def test_what_finds_no_room_has_failed_at_once_and_says_so(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=3)
    sink = make_webhook()
    taken = [make_alert(id=str(number)) for number in range(5)]
    assert [(one.deliveries, one.backlog_full) for one in taken] == [(1, 0)] * 3 + [(0, 1)] * 2
    assert states(sink) == {"failed": 2, "pending": 3}
    last = Delivery.objects.get(event__key="4")
    assert last.reason.startswith("the event sink's backlog is full: 3 deliveries wait")
    assert last.settled_at
    (verdict,) = explain_event(Event.objects.get(key="4"))
    assert (verdict.verdict, verdict.why) == ("failed", last.reason)


def test_of_an_array_as_many_are_owed_as_there_is_room_for(acme, limit, make_webhook):
    limit(acme, pending_per_sink=30)
    sink = make_webhook()
    alerts = [b'{"name": "n", "severity": "High"}'] * 100
    acceptance = accept(acme, event_type("detection_alert"), alerts)
    assert (len(acceptance.keys), acceptance.deliveries, acceptance.backlog_full) == (100, 30, 70)
    assert states(sink) == {"failed": 70, "pending": 30}


def test_the_other_sinks_of_the_tenant_go_on_and_so_does_everybody_else(
    acme, globex, limit, make_webhook, make_alert
):
    limit(acme, pending_per_sink=1), limit(globex, pending_per_sink=1)
    dead = make_webhook()
    make_alert()
    well, theirs = make_webhook(), make_webhook(tenant=globex)
    make_alert()
    make_alert(tenant=globex)
    assert states(dead) == {"failed": 1, "pending": 1}
    assert (states(well), states(theirs)) == ({"pending": 1}, {"pending": 1})


def test_what_is_held_back_needs_no_room(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=0)
    sink = make_webhook(options=Options(filter='name == "other"'))
    assert make_alert().backlog_full == 0
    assert states(sink) == {"suppressed": 1}


@pytest.mark.guarantee("R21")
def test_the_books_balance_and_a_replay_brings_what_found_no_room(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=2)
    sink = make_webhook()
    for _ in range(5):
        make_alert()
    found = audit_account(acme)
    assert found.balances
    assert (found.pending, found.failed) == (2, 3)
    deliver_all(sink)
    since = Delivery.objects.order_by("id").first().created_at
    replays.start(sink, since=since)
    assert replay_job.work_off_replays() == 3
    assert states(sink) == {"delivered": 2, "pending": 3}


def test_room_that_was_made_is_found(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=1)
    sink = make_webhook()
    make_alert(), make_alert()
    Delivery.objects.filter(state="pending").update(state="delivered")
    time.sleep(0.5)  # what was seen is good for a hundred times as long as it took
    for _ in range(40):
        if make_alert().deliveries:
            return
        time.sleep(0.25)
    raise AssertionError(states(sink))


def test_what_found_no_room_goes_to_the_fallback_while_that_has_some(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=2)
    spare = make_webhook()
    fallback = {"event_sink_id": str(spare.uuid)}
    sink = make_webhook(options=Options.model_validate({"fallback": fallback}))
    make_alert(), make_alert()
    deliver_all(spare)
    make_alert()
    assert states(sink) == {"failed": 1, "pending": 2}
    deliver_all(spare)
    assert fall_back_everywhere() == 0  # the fallback sink had this alert itself
    limit(acme, pending_per_sink=0)
    Delivery.objects.filter(destination=sink).update(fell_back=False)
    assert fall_back_everywhere() == 0


def test_with_much_room_nothing_is_counted_per_alert(make_webhook, make_alert, monkeypatch):
    make_webhook()
    make_alert()
    looks = []
    monkeypatch.setattr(backlog, "count_open", lambda *asked: looks.append(asked) or count_open(*asked))
    for _ in range(30):
        make_alert()
    assert not looks


def test_threads_at_once_pass_the_limit_by_no_more_than_they_are(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=20)
    sink = make_webhook()
    at_once(8, lambda index: [make_alert() for _ in range(10)])
    found = states(sink)
    assert sum(found.values()) == 80
    assert 20 <= found["pending"] <= 20 + 8


def test_counting_stops_at_what_matters(acme, make_webhook, make_alert):
    sink, other = make_webhook(), make_webhook()
    for _ in range(4):
        make_alert()
    Delivery.objects.filter(destination=other).update(state="delivered")
    assert count_open([sink.id, other.id], 3) == {sink.id: 3, other.id: 0}
    assert count_open([], 3) == {}


def test_the_usage_tells_of_the_longest_backlog_and_of_what_found_no_room(acme, limit, make_webhook, make_alert):
    limit(acme, pending_per_sink=2)
    make_webhook()
    for _ in range(3):
        make_alert()
    make_webhook()
    (told,) = [one for one in measure_usage(acme).limits if one.name == "pending_per_sink"]
    assert (told.limit, told.used, told.refused) == (2, 2, 1)
