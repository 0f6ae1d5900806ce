"""The status of a destination is one word, and the API's answers contain it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from eventsinks import tasks, telemetry
from eventsinks.actions.status import DestinationStatus, count_by_status, find_status, make_rank, status_condition
from eventsinks.models import Destination
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

STATUSES = [
    ({}, "active"),
    ({"state": "paused"}, "paused"),
    ({"state": "parked"}, "disabled"),
    ({"state": "resuming"}, "resuming"),
    ({"held_until": timezone.now() + timedelta(hours=1)}, "held"),
    ({"held_until": timezone.now() - timedelta(hours=1)}, "active"),
    ({"state": "parked", "held_until": timezone.now() + timedelta(hours=1)}, "disabled"),
    ({"paced_until": timezone.now() + timedelta(hours=1)}, "active"),
    ({"trouble_since": timezone.now()}, "active"),
    ({"trouble": 1, "trouble_since": timezone.now()}, "failing"),
    ({"trouble": 1, "held_until": timezone.now() + timedelta(hours=1)}, "failing"),
    ({"trouble": 2, "breaker": "open", "held_until": timezone.now() + timedelta(hours=1)}, "open"),
    ({"trouble": 2, "breaker": "half_open"}, "open"),
    ({"breaker": "ramp"}, "active"),
    ({"trouble": 2, "breaker": "open", "state": "paused"}, "paused"),
    ({"trouble": 3, "state": "parked"}, "disabled"),
]


@pytest.mark.parametrize(("columns", "status"), STATUSES)
def test_the_status_of_a_sink_is_one_word(make_webhook, acme_key, columns, status):
    sink = make_webhook()
    Destination.objects.update(**columns)
    assert find_status(Destination.objects.get()) == status
    asked = [word for word in DestinationStatus if Destination.objects.filter(status_condition(word)).exists()]
    assert asked == [status]
    assert count_by_status(Destination.objects.all())[status] == 1
    shown = Caller(acme_key).get(f"/v1/event_sink/{sink.uuid}").json()["event_sink"]
    assert (shown["status"], shown["state"]) == (status, columns.get("state", "active"))


def test_the_worst_comes_first(make_webhook):
    for columns in ({"state": "paused"}, {}, {"trouble": 1}, {"state": "parked"}):
        Destination.objects.filter(id=make_webhook().id).update(name="changed", **columns)
    found = [str(find_status(one)) for one in Destination.objects.order_by(make_rank(), "-id")]
    assert found == ["disabled", "failing", "paused", "active"]


def test_since_when_it_fails_and_why_is_told_beside_the_status(make_webhook, acme_key):
    sink, since = make_webhook(), timezone.now() - timedelta(minutes=5)
    api = Caller(acme_key)
    well = api.get(f"/v1/event_sink/{sink.uuid}").json()["event_sink"]
    Destination.objects.update(trouble=1, trouble_since=since, trouble_reason="503")
    failing = api.get(f"/v1/event_sink/{sink.uuid}").json()["event_sink"]
    assert (well["failing_since"], well["failing_reason"]) == (None, "")
    assert (datetime.fromisoformat(failing["failing_since"]) - since) < timedelta(seconds=1)
    assert failing["failing_reason"] == "503"


def test_the_metrics_count_every_destination_under_its_status(make_webhook):
    make_webhook()
    Destination.objects.filter(id=make_webhook().id).update(trouble=1)
    tasks.account()
    told = telemetry.write_facts().decode()
    assert 'eventsinks_destinations{face="event_sink",status="failing"} 1.0' in told
    assert 'eventsinks_destinations{face="event_sink",status="active"} 1.0' in told


def test_every_status_is_reached():
    assert {status for _, status in STATUSES} == set(DestinationStatus)
