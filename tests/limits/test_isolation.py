"""One row that goes wrong harms only itself; a lost database stops all of them."""

from datetime import timedelta

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Destination, QuietWindow, SlackWorkspace
from eventsinks.models.incident import IncidentQuerySet
from eventsinks.sending import hold, prepare
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping import digest, fall_back, heartbeat
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(make_webhook):
    return make_webhook("https://ill.example/"), make_webhook("https://well.example/")


@pytest.fixture
def slack(acme):
    workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
    workspace.token = "xoxb-1"
    workspace.save()
    args = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "channel_name": "alerts"}
    return configure.create(acme, "slack", args, name="Alerts")


POSTED = Response(200, [], b'{"ok":true,"channel":"C1","ts":"1.1","message":{"text":"x"}}')


def fail_for(monkeypatch, module, name, destination_id, error):
    """Let `module.name(…)` raise where its first argument is of this destination."""
    unharmed = getattr(module, name)

    def harmed(first, *more, **named):
        if destination_id in (first, getattr(first, "destination_id", None), getattr(first, "id", None)):
            raise error
        return unharmed(first, *more, **named)

    monkeypatch.setattr(module, name, harmed)


def states():
    return dict(Delivery.objects.values_list("destination_id", "state"))


@pytest.mark.parametrize("error", [DataError("value too long"), TypeError("not a text")])
def test_a_message_that_can_not_be_made_is_postponed_and_stops_no_other(two, make_alert, monkeypatch, error):
    ill, well = two
    make_alert()
    fail_for(monkeypatch, prepare, "make_message", ill.id, error)
    assert Dispatcher(World()).run() == 2
    assert states() == {ill.id: "pending", well.id: "delivered"}
    late = Delivery.objects.get(destination=ill)
    assert str(error) in late.reason
    assert late.due_at > timezone.now()


@pytest.mark.parametrize("change", [{}, {"sealed_signing_secret": "rubbish"}])
def test_a_sink_that_can_not_be_disabled_is_not_sent_to_again_at_once(two, make_alert, monkeypatch, change):
    ill, well = two
    make_alert()
    Destination.objects.filter(id=ill.id).update(**(change or {"name": "ill"}))
    fail_for(monkeypatch, hold, "park", ill.id, DataError("no such column"))
    world = World(lambda request: Response(410 if "ill" in request.url else 200, [], b""))
    assert Dispatcher(world).run() == 2
    assert states() == {ill.id: "pending", well.id: "delivered"}
    late = Delivery.objects.get(destination=ill)
    assert "could not be held or disabled" in late.reason
    assert (late.tries, late.due_at > timezone.now()) == (1, True)


def test_what_can_not_be_held_waits_as_long_as_was_asked(two, make_alert, monkeypatch):
    ill, well = two
    make_alert()
    fail_for(monkeypatch, hold, "hold", ill.id, OperationalError("deadlock detected"))
    busy = Response(429, [b"Retry-After: 3600"], b"")
    Dispatcher(World(lambda request: busy if "ill" in request.url else Response(200, [], b""))).run()
    assert states() == {ill.id: "pending", well.id: "delivered"}
    assert Delivery.objects.get(destination=ill).due_at > timezone.now() + timedelta(minutes=50)


def test_what_can_not_be_remembered_is_delivered_all_the_same_and_told_once(
    slack, make_webhook, make_alert, monkeypatch, caplog
):
    webhook = make_webhook()
    make_alert(dedup_key="i")

    def remember(self, place, memory):
        raise DataError("value too long")

    monkeypatch.setattr(IncidentQuerySet, "remember", remember)
    world = World(lambda request: POSTED if "chat.post" in request.url else Response(200, [], b""))
    Dispatcher(world).run()
    assert states() == {slack.id: "delivered", webhook.id: "delivered"}
    assert len(world.log) == 4
    assert "is not remembered" in caplog.text


@pytest.mark.parametrize(("module", "name"), [(prepare, "make_message"), (hold, "park")])
def test_a_lost_database_ends_the_run_and_settles_nothing(two, make_alert, monkeypatch, module, name):
    make_alert()
    fail_for(monkeypatch, module, name, two[0].id, OperationalError("the connection is lost"))
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    with pytest.raises(OperationalError):
        Dispatcher(World(lambda request: Response(410, [], b""))).run()
    assert "delivered" not in states().values()


def test_a_sink_that_can_not_fall_back_stops_no_other(two, make_webhook, make_alert, monkeypatch, caplog):
    make_alert()
    Delivery.objects.update(state="failed")
    fallback = make_webhook()
    Destination.objects.filter(id__in=[sink.id for sink in two]).update(fallback=fallback)
    Delivery.objects.filter(destination=fallback).delete()
    fail_for(monkeypatch, fall_back, "fall_back_some", two[0].id, DataError("no"))
    assert fall_back.fall_back_everywhere() == 1
    assert "DataError: no" in caplog.text


def test_a_heartbeat_test_that_can_not_be_made_stops_no_other(two, monkeypatch, caplog):
    drilled_at = timezone.now() - timedelta(hours=1)
    Destination.objects.update(drill_interval_s=60, drilled_at=drilled_at)
    fail_for(monkeypatch, heartbeat, "notify", two[0].id, ValueError("a notice was not taken"))
    assert heartbeat.send_heartbeats() == 1
    assert "a notice was not taken" in caplog.text
    assert Destination.objects.get(id=two[0].id).drilled_at == drilled_at  # still owed


def test_a_digest_that_can_not_be_told_stops_no_other(two, monkeypatch, caplog):
    at = timezone.now() - timedelta(hours=1)
    for sink in two:
        QuietWindow.objects.create(
            destination=sink, kind="throttle", starts_at=at, ends_at=at, closed_at=at, held=1, last_title="x"
        )
    fail_for(monkeypatch, digest, "notify", two[0].id, ValueError("a notice was not taken"))
    assert digest.send_digests() == 1
    assert "a notice was not taken" in caplog.text
    assert QuietWindow.objects.get(told_at=None).destination_id == two[0].id
