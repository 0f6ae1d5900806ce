"""The limits of a tenant in the admin: seen, set, and obeyed by whoever works there."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from eventsinks.actions import configure
from eventsinks.models import ApiKey, Destination, Event, Position, Silence
from eventsinks.models.limits import NAMES
from tests.admin import test_event_sinks as event_sinks
from tests.admin import test_integrations as integrations
from tests.admin import test_silences as silences
from tests.helpers.receiver import Receiver

URL = "https://example.com/hook"

INLINES = {
    f"{prefix}-{field}": 0
    for prefix in ("api_keys", "destinations", "destinations-2", "slack_workspaces")
    for field in ("TOTAL_FORMS", "INITIAL_FORMS")
}


@pytest.fixture
def page(acme):
    return reverse("admin:eventsinks_tenant_change", args=[acme.pk])


def text(response):
    return response.content.decode()


def test_the_page_of_a_tenant_shows_every_limit_and_what_is_used(operator, acme, page, limit, make_webhook):
    limit(acme, event_sinks=7)
    make_webhook()
    shown = text(operator.get(page))
    assert "<td>event_sinks</td><td>7</td><td>1</td><td>0</td>" in shown
    assert all(f"<td>{name}</td>" in shown for name in NAMES)
    assert 'name="limit_event_sinks" value="7"' in shown


def test_limits_are_set_and_taken_away(operator, acme, page):
    said = {"name": "Acme", "limit_event_sinks": "5", "limit_silences": "6", **INLINES}
    assert operator.post(page, said).status_code == 302
    acme.refresh_from_db()
    assert acme.own_limits == {"event_sinks": 5, "silences": 6}
    assert '["event_sinks", "silences"]' in LogEntry.objects.first().change_message
    operator.post(page, {**said, "limit_silences": ""})
    acme.refresh_from_db()
    assert acme.own_limits == {"event_sinks": 5}


@pytest.mark.parametrize(("name", "value"), [("event_sinks", "-1"), ("alerts_per_s", "0"), ("silences", "x")])
def test_what_is_no_limit_is_refused(operator, acme, page, name, value):
    response = operator.post(page, {"name": "Acme", f"limit_{name}": value, **INLINES})
    assert response.status_code == 200
    acme.refresh_from_db()
    assert acme.own_limits == {}


def test_who_may_only_look_sees_them_and_sets_none(sign_in, acme, page):
    client = sign_in("view_tenant")
    shown = text(client.get(page))
    assert "<td>event_sinks</td>" in shown
    assert "limit_event_sinks" not in shown
    assert client.post(page, {"name": "x", "limit_event_sinks": "5", **INLINES}).status_code == 403


def key_issued(operator, tenant):
    said = {"tenant": tenant.pk, "name": "k", "scopes": ["delivery:read"], "expires_at_0": "", "expires_at_1": ""}
    return operator.post(reverse("admin:eventsinks_apikey_add"), said)


ADDED = {
    "event_sinks": lambda operator, tenant: event_sinks.add(operator, tenant, "webhook", config_url=URL),
    "integrations": integrations.add,
    "api_keys": key_issued,
    "silences": silences.add,
}


@pytest.mark.parametrize("name", ADDED)
def test_the_admin_makes_nothing_over_a_limit_and_says_why(operator, acme, limit, name):
    models = (Destination, ApiKey, Silence)
    limit(acme, **{name: 0})
    assert f"the limit {name} of 0 is reached" in text(ADDED[name](operator, acme))
    assert not any(model.objects.exists() for model in models)
    limit(acme, **{name: 1})
    ADDED[name](operator, acme)
    assert any(model.objects.exists() for model in models)


def test_a_test_over_the_limit_sends_nothing_and_says_why(operator, acme, limit, make_webhook):
    limit(acme, tests_at_once=0)
    with Receiver() as receiver:
        sink = make_webhook(receiver.url())
        stream = configure.create(acme, "generic_http", {"url": receiver.url()}, name="i")
        for model, found in (("eventsink", sink), ("integration", stream)):
            address = reverse(f"admin:eventsinks_{model}_test", args=[found.pk])
            assert "the limit tests_at_once" in text(operator.post(address, follow=True))
        assert receiver.got == []


def test_a_replay_over_the_limit_is_not_begun_and_says_why(operator, acme, limit):
    stream = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="i")
    limit(acme, replays_at_once=0)
    newest = Event.objects.order_by("-id").first()
    Position.objects.filter(destination=stream).update(xid=newest.xid, event_id=newest.id)
    address = reverse("admin:eventsinks_integration_replay", args=[stream.pk])
    said = text(operator.post(address, {"moment": "2020-01-01T00:00"}, follow=True))
    assert "the limit replays_at_once of 0 is reached" in said
