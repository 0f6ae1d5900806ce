"""Every destination type sends the service's own messages: digests, heartbeat tests, fallbacks, tests."""

from datetime import UTC, datetime

import pytest
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from eventsinks.actions import configure
from eventsinks.actions.trying import try_out
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Destination, Event, QuietWindow, SlackWorkspace
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping.digest import send_digests
from eventsinks.sweeping.heartbeat import send_heartbeats
from tests.conftest import unrecorded
from tests.destinations.examples import make_type
from tests.helpers.worlds import World

SINKS = sorted(key for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink")
ANSWERS = {"slack": b'{"ok":true,"channel":"C1","ts":"1.2"}', "jira": b'{"issues":[]}'}
every_sink = pytest.mark.parametrize("key", SINKS)


def answered(request):
    """Answer as the service does that a request is for."""
    host = next((key for key in ANSWERS if key in request.url or request.url.endswith("/search/jql")), "")
    if request.url.endswith("/issue"):
        return Response(201, [], b'{"key":"SEC-1"}')
    return Response(200, [], ANSWERS["jira" if request.url.endswith("/search/jql") else host or "slack"])


@pytest.fixture
def make_sink(acme, settings):
    """Return a function that makes a sink of any type, which needs no look at the world."""
    settings.SMTP_URL = "smtp://127.0.0.1:25"

    def make(key, **options):
        with unrecorded():
            sink = configure.create(
                acme,
                "webhook",
                {"url": "https://example.com/hook"},
                name="soc",
                options=Options.model_validate(options),
            )
        kind = make_type(key)
        sink.type = key
        sink.config = kind.config.dump_masked()
        sink.set_config(kind.config)
        if key == "slack":
            workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
            workspace.token = "xoxb-1"
            workspace.save()
            sink.slack_workspace = workspace
        sink.save()
        return sink

    return make


def deliver_all():
    """Deliver what is due, to a world that takes everything. Return the states, and why any is not delivered."""
    world = World(answered)
    for _ in range(20):  # one message a turn, where a type has a pace
        Destination.objects.update(paced_until=None)
        Dispatcher(world).run()
    return list(Delivery.objects.values_list("state", "reason").order_by("id"))


@every_sink
def test_a_digest_is_told(key, make_sink, make_alert):
    make_sink(key, quiet={"throttle": {"limit": 1, "window_s": 60}})
    for number in range(4):
        make_alert(name=f"alert {number}")
    QuietWindow.objects.update(ends_at=Now())
    assert send_digests() == 1
    told = deliver_all()
    assert sorted(state for state, _ in told) == ["delivered"] * 2 + ["suppressed"] * 3, told
    assert Event.objects.filter(type="notice").count() == 1


@every_sink
def test_a_heartbeat_test_is_told(key, make_sink):
    make_sink(key, drill_interval_s=3600)
    Destination.objects.update(drilled_at=None)
    assert send_heartbeats() == 1
    assert {state for state, _ in deliver_all()} == {"delivered"}


@every_sink
def test_an_alert_is_told_in_the_place_of_another_sink(key, make_sink, make_alert, make_webhook):
    sink = make_sink(key)
    parent = make_webhook()
    make_alert(event_sink_ids=[str(parent.uuid)])
    failed = Delivery.objects.get()
    Delivery.objects.filter(id=failed.id).update(state="failed", reason="down")
    Delivery.objects.create(
        id=uuid7(),
        event_id=failed.event_id,
        destination_id=sink.id,
        fallback_of=failed.id,
    )
    assert ("delivered", "") in deliver_all()


@every_sink
def test_a_test_is_told(key, make_sink):
    sink = make_sink(key)
    message = try_out.make_message(sink, None, datetime.now(UTC))
    assert sink.opened().build([message], datetime.now(UTC)).body
