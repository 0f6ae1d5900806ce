"""Lag: a dispatcher that is the limit says so, and one that waits for sinks does not."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from django.db.models import F

from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response, Timings
from eventsinks.limits import sending_lag
from eventsinks.models import Delivery
from eventsinks.models.options import Options
from eventsinks.sending import lag
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch):
    """Return what dispatchers tell; they look at every claim."""
    heard = []
    monkeypatch.setattr(sending_lag, "tell_lags", heard.append)
    monkeypatch.setattr(lag, "LOOK_EVERY", 0.05)
    return heard


@pytest.fixture
def make_backlog(acme, make_webhook):
    """Return a function that makes a sink with due deliveries that are late by so many seconds."""

    def make(number=400, late=20, **options):
        sink = make_webhook(**options)
        alert = json.dumps({"name": "Root login", "severity": "High"}).encode()
        accept(acme, event_type("detection_alert"), [alert] * number)
        Delivery.objects.filter(destination=sink).update(due_at=F("due_at") - timedelta(seconds=late))
        return sink

    return make


class BusyWorld(World):
    """A far end that answers at once, while the machine needs a moment for each look."""

    def poll(self, wait):
        time.sleep(0.02)
        return super().poll(wait)


class RestingWorld(World):
    """A far end that answers at once, but for whose answers we wait."""

    def poll(self, wait):
        time.sleep(0.02)
        self.rested += 0.02
        return super().poll(wait)


def test_a_busy_dispatcher_tells_how_late_its_deliveries_are(acme, make_backlog, told):
    make_backlog()
    Dispatcher(BusyWorld()).run()
    assert told
    assert {tenant_id for lags in told for tenant_id in lags} == {acme.id}
    assert all(20 <= lags[acme.id] < 60 for lags in told)


def test_a_dispatcher_that_rests_is_not_the_limit(make_backlog, told):
    make_backlog()
    Dispatcher(RestingWorld()).run()
    assert told == []


def test_what_is_due_since_a_moment_is_no_lag(make_backlog, told):
    make_backlog(late=0)
    Dispatcher(BusyWorld()).run()
    assert told == []


def test_a_sink_that_is_slow_is_not_behind_because_of_us(make_backlog, told):
    make_backlog(number=60)
    Dispatcher(BusyWorld(lambda request: Response(200, [], b"", Timings(total=5.0)))).run()
    assert told == []


def test_a_sink_with_a_limit_of_its_own_waits_for_that(make_backlog, told):
    make_backlog(options=Options(rate_limit_per_s=1000.0))
    Dispatcher(BusyWorld()).run()
    assert told == []


def test_tries_that_are_made_again_do_not_count(make_backlog, told):
    sink = make_backlog()
    Delivery.objects.filter(destination=sink).update(tries=1)
    Dispatcher(BusyWorld()).run()
    assert told == []
