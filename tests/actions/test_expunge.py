"""The data of an event is gone for good: nothing sends it, shows it or brings it back."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.expunge import expunge_event
from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.replay_job import Selection, preview_replay, start_replays, work_off_replays
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Attempt, Delivery, Event, NetworkTraffic, Position
from eventsinks.models.delivery import claim, find_due_lanes, settle
from eventsinks.models.stream.batch import LogPlace
from eventsinks.models.stream.read import look_ahead, read_members
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.judge import make_settlement
from tests.helpers.counts import audit_account
from tests.helpers.worlds import World
from tests.sweeping.test_delete_tenants import FLOW

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "the-payload"


def the_event(type="detection_alert"):
    return Event.objects.get(type=type)


def holds_secret():
    """Return whether anything that belongs to an event still has its data."""
    rows = [*Event.objects.filter(type="detection_alert").values_list("data", flat=True)]
    texts = [
        *Attempt.objects.values_list("excerpt", flat=True),
        *NetworkTraffic.objects.values_list("search", flat=True),
    ]
    return any(SECRET.encode() in bytes(row) for row in rows) or any(SECRET in text for text in texts)


@pytest.mark.guarantee("R31")
@pytest.mark.parametrize("state", ["pending", "failed", "delivered"])
def test_its_data_and_the_answers_are_gone_and_its_account_stays(make_webhook, make_alert, state):
    make_webhook()
    make_alert(id="a", text=SECRET)
    delivery = Delivery.objects.get()
    at = timezone.now()
    Attempt.objects.create(
        id=uuid.uuid4(), delivery=delivery, number=1, started_at=at, outcome="delivered", excerpt=f"got {SECRET}"
    )
    Delivery.objects.update(state=state)
    assert holds_secret()
    assert expunge_event(the_event())
    assert not holds_secret()
    found = Delivery.objects.get()
    expected = ("delivered", "") if state == "delivered" else ("suppressed", "expunged")
    assert (found.state, found.reason) == expected
    assert (Attempt.objects.count(), audit_account().balances) == (1, True)
    assert not expunge_event(the_event())


def test_what_waits_is_not_sent_any_more(make_webhook, make_alert):
    make_webhook()
    make_alert(text=SECRET)
    expunge_event(the_event())
    world = World()
    assert Dispatcher(world).run() == 0
    assert world.sent() == []


def test_the_answer_to_a_try_that_was_under_way_is_not_kept(make_webhook, make_alert):
    sink = make_webhook()
    make_alert(text=SECRET)
    (claimed,) = claim([(lane, 1) for lane in find_due_lanes(5)], 60)
    expunge_event(the_event())
    response = Response(200, [], f"got {SECRET}".encode())
    assert settle([make_settlement(claimed, timezone.now(), response, None, sink.opened())]) == 0
    assert (Attempt.objects.count(), holds_secret()) == (1, False)
    assert Delivery.objects.get().state == "suppressed"


def test_a_replay_passes_it_over(make_webhook, make_alert):
    sink = make_webhook()
    make_alert(id="gone"), make_alert(id="there")
    Delivery.objects.update(state="delivered", settled_at=timezone.now())
    expunge_event(Event.objects.get(key="gone"))
    assert replay(Delivery.objects.filter(event__key="gone")) == 0
    selection = Selection(timezone.now() - timedelta(hours=1), states=["delivered"])
    assert preview_replay(sink, selection).deliveries == 1
    (job,) = start_replays([sink], selection)
    work_off_replays()
    job.refresh_from_db()
    assert (job.counted, job.replayed) == (1, 1)
    assert set(Delivery.objects.values_list("event__key", "state")) == {
        ("gone", "delivered"),
        ("there", "pending"),
    }


def test_a_stream_that_has_not_sent_it_passes_it_over(acme):
    stream = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="HTTP")
    accept(acme, event_type("network_traffic"), [json.dumps(FLOW | {"user": {"name": SECRET}}).encode()])
    event = the_event("network_traffic")
    place = Position.objects.get(destination=stream).place
    assert [one.id for one in read_members([event.id])] == [event.id]
    expunge_event(event)
    assert (read_members([event.id]), holds_secret()) == ([], False)
    assert look_ahead(acme.id, ["network_traffic"], min(place, LogPlace(0, 0)), 10) == []
    assert not NetworkTraffic.objects.exists()


def test_the_end_of_an_incident_that_was_expunged_does_not_come_back(make_webhook, make_alert):
    make_webhook()
    make_alert(id="1", dedup_key="k")
    make_alert(id="2", dedup_key="k", status="resolved")
    Delivery.objects.filter(event__key="1").update(state="failed", settled_at=timezone.now())
    expunge_event(Event.objects.get(key="2"))
    assert replay(Delivery.objects.filter(event__key="1")) == 1
    assert Delivery.objects.get(event__key="2").state == "suppressed"
