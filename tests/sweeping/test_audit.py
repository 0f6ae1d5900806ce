"""What is deleted behind its back is found by the audit, and nothing else is."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from eventsinks import tasks, telemetry
from eventsinks.lib.net.wire import Response
from eventsinks.models import (
    Attempt,
    AuditMark,
    Count,
    CountDelta,
    Delivery,
    Event,
    Finding,
    counting,
)
from eventsinks.models.delivery import Settlement, claim, find_due_lanes, settle
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping.auditing.walk import audit, audit_all
from tests.helpers.counts import count_rows, read_counts
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


def deliver_all(status=200):
    Dispatcher(World(lambda request: Response(status, [], b""))).run()


def test_nothing_is_missing_when_nothing_was_deleted(make_webhook, make_alert):
    make_webhook()
    make_alert()
    deliver_all()
    make_alert()
    assert (audit(), Finding.objects.count()) == (0, 0)
    assert read_counts() == count_rows()


@pytest.mark.guarantee("R29")
@pytest.mark.parametrize("ended", [False, True])
def test_a_deleted_delivery_is_reported_once_whatever_its_state(make_webhook, make_alert, ended):
    make_webhook()
    other = make_webhook()
    for _ in range(3):
        make_alert()
    if ended:
        deliver_all()
    Delivery.objects.filter(id=Delivery.objects.filter(destination=other).order_by("id")[1].id).delete()
    assert audit() == 1
    found = Finding.objects.get()
    assert (found.kind, found.destination_id, found.missing) == ("delivery", other.id, 1)
    assert read_counts() == count_rows()
    assert (audit(), Finding.objects.unaccounted()) == (0, 1)


def test_a_deleted_event_is_reported_with_its_tenant(make_webhook, make_alert, acme):
    make_webhook()
    make_alert()
    make_alert()
    Event.objects.filter(type="detection_alert").first().delete()
    assert audit() == 1
    found = Finding.objects.get()
    assert (found.kind, found.tenant_id, found.missing) == ("event", acme.id, 1)
    assert audit() == 0


def test_a_deleted_event_that_no_sink_wants_is_reported(make_alert):
    make_alert()
    Event.objects.filter(type="detection_alert").delete()
    assert (audit(), Finding.objects.get().kind) == (1, "event")


def test_what_retention_deletes_and_says_so_is_not_missed(make_webhook, make_alert, acme):
    make_webhook()
    make_alert()
    deliver_all()
    counting.forget(
        events=Event.objects.values_list("tenant_id", "id"),
        deliveries=[(acme.id, *row) for row in Delivery.objects.values_list("destination_id", "id", "state")],
    )
    for table in (Attempt, Delivery, Event):
        table.objects.all().delete()
    assert (audit(), read_counts()) == (0, {})


def test_what_an_old_process_wrote_is_counted_by_the_next_audit(make_webhook, make_alert):
    make_webhook()
    for _ in range(2):
        make_alert()
    deliver_all()
    Count.objects.all().delete()  # it knew nothing of counts
    CountDelta.objects.all().delete()
    assert (audit_all(), Finding.objects.count()) == (0, 0)
    assert read_counts() == count_rows()


def test_an_old_workers_settlement_is_counted_by_the_next_audit(make_webhook, make_alert):
    make_webhook()
    make_alert()
    claimed = claim([(lane, 1000) for lane in find_due_lanes(10)], 60.0)
    settle([Settlement(one, uuid.uuid4(), "delivered", "delivered", datetime.now(UTC)) for one in claimed])
    Count.objects.filter(what="delivered").delete()
    CountDelta.objects.filter(what="delivered").delete()
    assert (audit_all(), read_counts()) == (0, count_rows())


def test_an_old_slot_is_found_by_the_round(make_webhook, make_alert):
    make_webhook()
    make_alert()
    old = counting.first_id_of(counting.find_slot(Delivery.objects.get().id) - 86_400)
    row = Delivery.objects.get()
    Delivery.objects.update(id=old)
    Event.objects.update(received_at=timezone.now() - timedelta(days=1))
    for table in (Count, CountDelta):
        table.objects.filter(destination_id=row.destination_id).update(slot=counting.find_slot(old))
    assert audit_all() == 0
    Delivery.objects.all().delete()
    Event.objects.all().delete()
    assert audit_all() == 1 + 1


def test_a_walk_goes_on_where_it_stopped(make_webhook, make_alert):
    make_webhook()
    make_alert()
    audit(0.0)
    places = dict(AuditMark.objects.values_list("name", "place"))
    assert places["deliveries:round"] == counting.find_slot(Delivery.objects.get().id) + counting.GRAIN
    audit(0.0)  # the round begins again
    assert AuditMark.objects.get(name="deliveries:round").place == 0


def test_the_metric_tells_what_is_missing_until_somebody_dismisses_it(make_webhook, make_alert):
    make_webhook()
    make_alert()
    deliver_all()
    Delivery.objects.all().delete()
    assert tasks.account() == 1
    assert "eventsinks_unaccounted 1.0" in telemetry.write_facts().decode()
    Finding.objects.all().dismiss()
    assert tasks.account() == 0
