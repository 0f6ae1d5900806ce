"""A channel that the app is not in: joined, where that is allowed, and posted to in the same try."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from eventsinks.actions import configure
from eventsinks.models import Delivery, Destination, SlackWorkspace
from eventsinks.models.delivery import free_rate_key, lease_rate_keys
from eventsinks.sending.hold import hold

pytestmark = pytest.mark.django_db(transaction=True)

OUTSIDE = {"ok": False, "error": "not_in_channel"}


@pytest.fixture
def make_sink(acme, httpserver, settings):
    def make(scopes=""):
        workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme", scopes=scopes)
        workspace.token = "xoxb-1"
        workspace.save()
        args = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "channel_name": "alerts"}
        sink = configure.create(acme, "slack", args, name="Alerts")
        settings.SLACK_BASE_URL = httpserver.url_for("/api/")
        return sink

    return make


def paths(httpserver):
    return [request.path.removeprefix("/api/") for request, _ in httpserver.log]


@pytest.mark.parametrize("scopes", ["", "chat:write,channels:join"])
def test_it_joins_and_posts_again_in_one_try(make_sink, make_alert, dispatcher, httpserver, scopes):
    make_sink(scopes)
    httpserver.expect_oneshot_request("/api/chat.postMessage").respond_with_json(OUTSIDE)
    httpserver.expect_request("/api/conversations.join").respond_with_json({"ok": True})
    httpserver.expect_request("/api/chat.postMessage").respond_with_json({"ok": True, "ts": "1.1"})
    make_alert()
    dispatcher.run()
    assert paths(httpserver) == ["chat.postMessage", "conversations.join", "chat.postMessage"]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries) == ("delivered", 1)


def test_it_joins_nothing_without_the_scope(make_sink, make_alert, dispatcher, httpserver):
    make_sink("chat:write")
    httpserver.expect_request("/api/chat.postMessage").respond_with_json(OUTSIDE)
    make_alert()
    dispatcher.run()
    assert paths(httpserver) == ["chat.postMessage"]
    assert Delivery.objects.get().state == "pending"


def test_a_join_that_did_not_help_is_no_delivery(make_sink, make_alert, dispatcher, httpserver):
    sink = make_sink()
    httpserver.expect_request("/api/chat.postMessage").respond_with_json(OUTSIDE)
    httpserver.expect_request("/api/conversations.join").respond_with_json({"ok": True})
    make_alert()
    dispatcher.run()
    assert paths(httpserver) == ["chat.postMessage", "conversations.join", "chat.postMessage"]
    assert Delivery.objects.get().state == "pending"
    sink.refresh_from_db()
    assert "not_in_channel" in sink.state_reason


@pytest.mark.guarantee("P4")
def test_retry_after_holds_every_sink_of_the_workspace_and_no_other(acme, make_sink, make_webhook, httpserver):
    sink = make_sink()
    same = {"slack_integration_id": str(sink.slack_workspace_id), "channel_id": "C2"}
    httpserver.expect_request("/api/conversations.info").respond_with_json({"ok": False, "error": "x"})
    configure.create(acme, "slack", same, name="Beside")
    webhook = make_webhook()
    hold(sink.id, 60)
    held = set(Destination.objects.exclude(held_until=None).values_list("name", flat=True))
    assert held == {"Alerts", "Beside"}
    webhook.refresh_from_db()
    assert webhook.held_until is None


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")
def test_the_sinks_of_a_workspace_are_locked_in_the_order_of_their_ids(make_sink):
    sink = make_sink()
    with CaptureQueriesContext(connection) as captured:
        hold(sink.id, 60)
        lease_rate_keys([sink.rate_key], 1)
        free_rate_key(sink.rate_key, 1)
    assert all("ORDER BY id FOR NO KEY UPDATE" in query["sql"] for query in captured if "SET" in query["sql"])
