"""The status of a destination is one word, and the API's answers contain it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions.status import DestinationStatus, find_status
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
]


@pytest.mark.parametrize(("columns", "status"), STATUSES)
def test_the_status_of_a_sink_is_one_word(make_webhook, acme_key, columns, status):
    sink = make_webhook()
    Destination.objects.update(**columns)
    assert find_status(Destination.objects.get()) == status
    shown = Caller(acme_key).get(f"/v1/event_sink/{sink.uuid}").json()["event_sink"]
    assert (shown["status"], shown["state"]) == (status, columns.get("state", "active"))


def test_every_status_is_reached():
    assert {status for _, status in STATUSES} == set(DestinationStatus)
