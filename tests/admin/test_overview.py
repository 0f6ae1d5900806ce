"""The first page says how things are, and names everything that needs somebody."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Destination, Finding
from eventsinks.models.delivery import Settlement, claim, find_due_lanes, settle
from eventsinks.models.health import Breaker, Trouble
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


def deliver_all(status):
    Dispatcher(World(lambda request: Response(status, [], b""))).run()


FAILING: dict[str, Any] = {
    "trouble": Trouble.FAILING,
    "trouble_reason": "the far end answered 500",
    "trouble_since": timezone.now(),
}
HELD: dict[str, Any] = {"held_until": timezone.now() + timedelta(days=1)}
COLUMNS: dict[str, dict[str, Any]] = {  # of a sink with each status
    "disabled": {"state": "parked", "state_reason": "it is gone"},
    "breaker open": FAILING | HELD | {"trouble": Trouble.OPEN, "breaker": Breaker.OPEN},
    "failing": FAILING,
    "held": HELD,
    "paused": {"state": "paused"},
    "resuming": {"state": "resuming"},
    "active": {},
}


def read_page(client, **query):
    answer = client.get(reverse("admin:index"), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_all_is_well_when_all_is_delivered(admin_client, make_webhook, make_alert):
    make_webhook()
    make_alert()
    deliver_all(200)
    page = read_page(admin_client)
    assert "All well: no event sink of 1 is failing, and nothing waits." in page
    assert "1 delivered, accepted 1 to 0 hours ago" in page
    assert "100 %" in admin_client.get(reverse("admin:eventsinks_eventsink_changelist")).content.decode()


def test_every_failing_sink_is_named_with_its_reason_however_many_there_are(
    admin_client, make_webhook, make_alert
):
    sinks = [make_webhook() for _ in range(12)]
    make_alert()
    Destination.objects.update(**FAILING)
    page = read_page(admin_client)
    assert "12 of 12 event sinks need somebody (12 failing); 12 alerts wait" in page
    assert all(f">{sink.name}<" in page for sink in sinks)
    assert "the far end answered 500" in page


def test_a_disabled_and_a_paused_sink_are_named_with_the_next_step(admin_client, make_webhook, make_alert):
    paused, gone = make_webhook(), make_webhook()
    configure.pause(Destination.objects.get(id=paused.id))
    make_alert()
    deliver_all(410)
    page = read_page(admin_client)
    assert "2 of 2 event sinks need somebody (1 disabled, 1 paused)" in page
    assert page.index(f">{gone.name}<") < page.index(f">{paused.name}<")  # the worst first
    assert ">Resume…</a>" in page


@pytest.mark.parametrize("word", COLUMNS)
def test_each_status_is_told_or_needs_nobody(admin_client, make_webhook, make_alert, word):
    sink = make_webhook()
    make_alert()
    Destination.objects.update(**COLUMNS[word])
    page = read_page(admin_client)
    if word in ("resuming", "active"):
        assert "All well" in page
    else:
        assert f"1 of 1 event sinks needs somebody (1 {word})" in page
        assert f">{sink.name}<" in page


def test_the_steps_test_edit_and_replay_stand_where_something_failed(admin_client, make_webhook, make_alert):
    sink = make_webhook()
    make_alert()
    Delivery.objects.update(state="failed", settled_at=timezone.now())
    Destination.objects.update(**FAILING)
    page = read_page(admin_client)
    for name in ("test", "change"):
        assert f'"{reverse(f"admin:eventsinks_eventsink_{name}", args=[sink.pk])}"' in page
    replay = f"{reverse('admin:eventsinks_replay_add')}?where={sink.pk}"
    assert f'"{replay}"' in page
    assert admin_client.get(replay).status_code == 200
    assert "1 failed" in page


def test_what_the_audit_misses_stands_there_until_it_is_dismissed(admin_client, acme, globex):
    Finding.objects.create(kind="delivery", tenant_id=acme.id, slot=0, missing=3, detail="3 of them were deleted")
    assert "3 of them were deleted" in read_page(admin_client)
    assert "3 of them were deleted" not in read_page(admin_client, tenant=str(globex.id))
    Finding.objects.all().dismiss()
    assert "3 of them were deleted" not in read_page(admin_client)


def test_the_page_of_one_tenant_shows_nothing_of_another(admin_client, make_webhook, make_alert, acme, globex):
    make_webhook()
    make_alert()
    Destination.objects.filter(tenant=acme).update(**FAILING)
    assert "1 of 1 event sinks needs somebody" in read_page(admin_client, tenant=str(acme.id))
    assert "All well: no event sink of 0" in read_page(admin_client, tenant=str(globex.id))
    assert "1 of 1" in read_page(admin_client, tenant="nobody")


def test_the_newest_failures_are_shown_by_name(admin_client, make_webhook, make_alert):
    make_webhook()
    make_alert(name="Root login from nowhere")
    claimed = claim([(lane, 10) for lane in find_due_lanes(10)], 60.0)
    settle([Settlement(one, uuid.uuid4(), "failed", "refused", datetime.now(UTC), reason="no") for one in claimed])
    assert "Root login from nowhere" in read_page(admin_client)


def test_the_page_asks_the_same_number_of_questions_whatever_the_history(admin_client, make_webhook, make_alert):
    make_webhook()
    make_alert()
    deliver_all(200)
    read_page(admin_client)
    with CaptureQueriesContext(connection) as few:
        read_page(admin_client)
    for _ in range(5):
        make_alert()
    deliver_all(200)
    with CaptureQueriesContext(connection) as many:
        read_page(admin_client)
    assert len(many) == len(few) <= 40
