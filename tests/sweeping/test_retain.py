"""What was kept long enough goes, with all that hangs on it; what is owed, or not sent yet, stays."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.tenants import change_tenant
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.limits import round_robin
from eventsinks.models import (
    Attempt,
    Batch,
    Delivery,
    Event,
    Position,
    RetentionWalk,
    counting,
)
from eventsinks.models.delivery import make_id
from eventsinks.models.stream.batch import LogPlace
from eventsinks.sweeping import retain
from tests.helpers.counts import audit_account
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)
DAYS = 100  # older than what is kept


@pytest.fixture(autouse=True)
def has_time(monkeypatch):
    monkeypatch.setattr(retain, "_looked_at", float("-inf"))
    monkeypatch.setattr(round_robin, "SECONDS", 60.0)  # one sweep gets through all walks, however slow it is here


def age(days=DAYS, **which):
    """Make events, their deliveries and attempts so many days old. Ids of deliveries hold their time."""
    at = timezone.now() - timedelta(days=days)
    for event in Event.objects.filter(**which):
        Event.objects.filter(id=event.id).update(received_at=at)
        for delivery in Delivery.objects.filter(event=event):
            old, new = delivery.id, make_id(at)
            Delivery.objects.filter(id=old).update(id=new)
            Attempt.objects.filter(delivery_id=old).update(delivery_id=new)
            rest = (event.tenant_id, delivery.destination_id)
            counting.forget(deliveries=[(*rest, old, delivery.state)])
            counting.add(counting.tally_new([(*rest, new, delivery.state)]))


def end(state="delivered", **which):
    """End deliveries in a state, each with an attempt."""
    for delivery in Delivery.objects.filter(**which):
        Delivery.objects.filter(id=delivery.id).update(state=state, settled_at=Now())
        Attempt.objects.create(
            id=uuid.uuid4(), delivery=delivery, number=1, started_at=timezone.now(), outcome="delivered"
        )


def sweep(rounds=1):
    """Let the sweep delete what may go now, as if each pause of a walk were over."""
    total = 0
    retain._looked_at = float("-inf")
    for _ in range(rounds):
        RetentionWalk.objects.update(due_at=timezone.now() - timedelta(minutes=5))
        total += retain.retain()
    return total


def count():
    return Event.objects.exclude(type="audit").count(), Delivery.objects.count(), Attempt.objects.count()


@pytest.mark.guarantee("R31")
def test_an_event_goes_after_its_days_with_its_deliveries_and_attempts(make_webhook, make_alert):
    make_webhook(), make_webhook()
    make_alert(id="old"), make_alert(id="new")
    end()
    age(key="old")
    assert count() == (2, 4, 4)
    sweep()
    assert count() == (1, 2, 2)
    assert Event.objects.get(type="detection_alert").key == "new"
    assert audit_account().balances


@pytest.mark.guarantee("R31")
@pytest.mark.parametrize("state", ["pending", "sending"])
def test_an_event_with_an_open_delivery_stays_with_all_it_has(make_webhook, make_alert, state):
    sink, _ = make_webhook(), make_webhook()
    make_alert(id="old")
    end()
    lease = {"lease": uuid.uuid4()} if state == "sending" else {}
    Delivery.objects.filter(destination=sink).update(state=state, **lease)
    age(key="old")
    sweep(3)
    assert count()[:2] == (1, 2)
    Delivery.objects.filter(destination=sink).update(state="failed", lease=None)
    sweep(3)
    assert count() == (0, 0, 0)


def test_who_keeps_longer_loses_nothing_to_who_keeps_less(acme, globex, make_webhook, make_alert):
    make_webhook(), make_webhook(tenant=globex)
    change_tenant(acme, retention={"detection_alert": 7})
    make_alert(id="acme"), make_alert(tenant=globex, id="globex")
    end()
    age(10, type="detection_alert")
    sweep()
    assert Event.objects.get(type="detection_alert").key == "globex"


def test_attempts_go_before_their_deliveries(make_webhook, make_alert):
    make_webhook()
    make_alert(id="old"), make_alert(id="owed"), make_alert(id="new")
    end()
    Delivery.objects.filter(event__key="owed").update(state="pending")
    age(40, key__in=["old", "owed"])
    sweep()
    assert count() == (3, 3, 2)
    assert set(Attempt.objects.values_list("delivery__event__key", flat=True)) == {"owed", "new"}


def audits(acme, number=3):
    about = {
        "timestamp": "2026-01-01T00:00:00Z",
        "activity_code": "user.join",
        "initiator_id": "i",
        "target_id": "t",
    }
    documents = [{"id": str(n), "activity": "x", "meta": {}, **about} for n in range(number)]
    accept(acme, event_type("audit"), [json.dumps(one).encode() for one in documents])
    return list(Event.objects.filter(type="audit", key__in="012").order_by("id"))


@pytest.fixture
def stream(acme):
    return configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="HTTP")


@pytest.mark.guarantee("R31")
@pytest.mark.parametrize("paused", [False, True])
def test_what_an_integration_has_not_sent_stays_also_if_it_is_paused(acme, stream, paused):
    events = audits(acme)
    if paused:
        configure.pause(stream)
    first = events[0]
    Position.objects.update(xid=first.xid, event_id=first.id)
    age(key__in="012")
    sweep(3)
    left = Event.objects.filter(key__in="012")
    assert sorted(left.values_list("key", flat=True)) == ["1", "2"]
    Position.objects.update(xid=events[2].xid, event_id=events[2].id)
    sweep(3)
    assert not left.exists()


def test_who_is_deleted_needs_nothing(acme, stream):
    audits(acme)
    Position.objects.update(xid=0, event_id=0)
    configure.delete(stream)
    age(key__in="012")
    sweep(3)
    assert not Event.objects.filter(key__in="012").exists()


def test_days_for_what_is_unstreamed_move_a_paused_integration_past_it(acme, stream):
    events = audits(acme)
    configure.pause(stream)
    Position.objects.update(xid=0, event_id=0)
    change_tenant(acme, retention={"unstreamed": 95})
    age(key__in="012")
    sweep(3)
    assert not Event.objects.filter(key__in="012").exists()
    assert Position.objects.get().place >= LogPlace(events[-1].xid, events[-1].id)


def test_what_a_running_replay_of_a_stream_needs_stays(acme, stream):
    events = audits(acme)
    last = LogPlace(events[-1].xid, events[-1].id)
    Position.objects.update(xid=last.xid, event_id=last.event_id)
    start = LogPlace(events[0].xid, events[0].id)
    Position.objects.replay(stream.id, start, last)
    age(key__in="012")
    sweep(3)
    left = Event.objects.filter(key__in="012")
    assert sorted(left.values_list("key", flat=True)) == ["1", "2"]
    Position.objects.stop_replay(stream.id)
    sweep(3)
    assert not left.exists()


def test_settled_batches_go_and_the_open_one_stays(acme, stream):
    old = timezone.now() - timedelta(days=DAYS)
    row = {"destination": stream, "count": 1, "first_event": 1, "last_event": 1, "last_xid": 1}
    Batch.objects.create(number=1, state="sent", settled_at=old, **row)
    Batch.objects.create(number=2, state="open", members=[1], **row)
    Batch.objects.create(number=3, state="sent", settled_at=old, **row)
    sweep(2)
    assert sorted(Batch.objects.values_list("number", flat=True)) == [2, 3]
    Batch.objects.filter(number=2).update(state="sent", settled_at=old)
    sweep(2)
    assert not Batch.objects.exists()


@pytest.mark.guarantee("R31")
def test_two_sweeps_at_once_delete_each_row_once(make_webhook, make_alert):
    make_webhook()
    for number in range(40):
        make_alert(id=str(number))
    end()
    age(type="detection_alert")
    retain.make_missing_walks()
    assert not [found for found in at_once(2, lambda _: retain.retain()) if isinstance(found, Exception)]
    sweep(2)
    assert count() == (0, 0, 0)
    assert audit_account().balances


def test_a_locked_delivery_keeps_its_event_and_stops_no_other(make_webhook, make_alert):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one lock for all rows")
    make_webhook()
    make_alert(id="held"), make_alert(id="free")
    end()
    age(type="detection_alert")
    held = Delivery.objects.get(event__key="held").id
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM eventsinks_delivery WHERE id = %s FOR UPDATE", [held])
        sweep(2)
        other.rollback()
    other.close()
    assert Event.objects.get(type="detection_alert").key == "held"
    sweep(2)
    assert count() == (0, 0, 0)
