"""Event sinks: a form per type that keeps masked secrets, pause and resume, the signing secret, deletion."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from eventsinks.actions import configure
from eventsinks.admin.parts.forms import make_fields
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.models import Delivery, Destination, EventSink
from eventsinks.sending.hold import hold, park
from tests.admin.conftest import HEADER, ROUTING_KEY
from tests.destinations.examples import example

OPTIONS = {
    "event_types": "detection_alert",
    "fallback_failures": "3",
    "fallback_wait": "10 min",
}
LIST = "admin:eventsinks_eventsink_changelist"


def page_of(sink, name="change"):
    return reverse(f"admin:eventsinks_eventsink_{name}", args=[sink.pk])


def add(client, tenant, type, **fields):
    address = f"{reverse('admin:eventsinks_eventsink_add')}?type={type}&tenant={tenant.pk}"
    return client.post(address, {"name": "new", "description": "", "enabled": "on", **OPTIONS, **fields})


def save(client, sink, **fields):
    shown = {"name": sink.name, "description": sink.description, **OPTIONS}
    return client.post(page_of(sink), {**shown, **fields})


@pytest.fixture
def webhook(make_webhook):
    return make_webhook(config={"headers": {"Authorization": HEADER, "X-Team": "blue"}})


def shown(sink, **changes):
    """The fields of a webhook's form as the page shows them, but for `changes`."""
    headers = "\r\n".join(f"{name}: ****" for name in sink.config.get("headers", {}))
    form = {"config_url": sink.config["url"], "config_headers": headers, "config_webhook_type": "Other"}
    return {**form, **{f"config_{name}": value for name, value in changes.items()}}


# --- Adding


def test_adding_begins_with_the_tenant_and_the_type(operator, acme):
    first = operator.get(reverse("admin:eventsinks_eventsink_add")).content.decode()
    for kind in DESTINATION_TYPES.values():
        assert (kind.label in first) == (kind.face == "event_sink")
    wrong = operator.get(reverse("admin:eventsinks_eventsink_add") + "?type=nothing&tenant=x")
    assert "Whose events" in wrong.content.decode()


def test_a_webhook_is_added(operator, acme):
    headers = f"Authorization: {HEADER}\n\nX-Team: blue"
    response = add(
        operator,
        acme,
        "webhook",
        config_url="https://example.com/a",
        config_headers=headers,
        config_webhook_type="Torq",
    )
    assert response.status_code == 302
    sink = EventSink.objects.get()
    assert (sink.tenant, sink.name, sink.state) == (acme, "new", "active")
    assert sink.opened_config().dump_revealed()["headers"] == {"Authorization": HEADER, "X-Team": "blue"}
    assert sink.config["webhook_type"] == "Torq"


# Slack's workspace is chosen, as another test says.
TYPED_IN = [key for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink" and key != "slack"]


@pytest.mark.parametrize("type", TYPED_IN)
def test_every_type_is_added_by_what_a_person_types_in(operator, acme, type):
    given = example(type)
    lines = {
        name: "\n".join(value if isinstance(value, list) else map(": ".join, value.items()))
        if isinstance(value, list | dict)
        else value
        for name, value in given.items()
    }
    response = add(operator, acme, type, **{f"config_{name}": value for name, value in lines.items()})
    assert response.status_code == 302, response.context["adminform"].form.errors
    sink = EventSink.objects.get()
    revealed = sink.opened_config().dump_revealed()
    assert {name: revealed[name] for name in given} == given
    page = operator.get(page_of(sink)).content.decode()
    assert not [secret for secret in sink.opened_config().secrets().values() if str(secret) in page]


def test_recipients_are_changed_by_their_lines(operator, acme):
    sink = configure.create(acme, "email", {"to": ["a@b.example", "c@d.example"]}, name="mail")
    assert "a@b.example\nc@d.example" in operator.get(page_of(sink)).content.decode()
    save(operator, sink, config_to="a@b.example\r\n\r\n e@f.example ")
    assert EventSink.objects.get().config == {"to": ["a@b.example", "e@f.example"]}
    assert "name@host" in save(operator, sink, config_to="a@b.example\nnonsense").content.decode()


def test_a_sink_may_start_paused(operator, acme):
    add(operator, acme, "pagerduty", config_integration_key=ROUTING_KEY, enabled="")
    assert EventSink.objects.get().state == "paused"


def test_a_slack_sink_is_offered_the_workspaces_of_its_tenant_only(operator, acme, globex, workspace):
    address = f"{reverse('admin:eventsinks_eventsink_add')}?type=slack&tenant="
    assert str(workspace.pk) in operator.get(address + str(acme.pk)).content.decode()
    assert str(workspace.pk) not in operator.get(address + str(globex.pk)).content.decode()
    add(operator, globex, "slack", config_slack_integration_id=str(workspace.pk), config_channel_name="alerts")
    assert not EventSink.objects.exists()
    add(operator, acme, "slack", config_slack_integration_id=str(workspace.pk), config_channel_name="#alerts")
    assert EventSink.objects.get().slack_workspace == workspace


@pytest.mark.parametrize(
    ("type", "fields", "message"),
    [
        ("webhook", {"config_url": "http://10.0.0.1/"}, "10.0.0.1"),
        ("webhook", {"config_url": "https://example.com", "config_headers": "Host: x"}, "set by the sender"),
        ("webhook", {"config_url": "https://example.com", "config_headers": "nonsense"}, "Name: value"),
        ("webhook", {"config_url": "https://example.com", "config_headers": "X-A: ****"}, "no value yet"),
        ("pagerduty", {"config_integration_key": "short"}, "32 letters and digits"),
        ("pagerduty", {"config_integration_key": "****"}, "no value yet"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_kept(operator, acme, type, fields, message):
    form = {"config_webhook_type": "Other", **fields}
    response = add(operator, acme, type, **form)
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    (field,) = set(errors) & set(fields)
    assert field == list(fields)[-1]
    assert message in str(errors[field][0])
    assert escape(str(errors[field][0])) in response.content.decode()
    assert not Destination.objects.exists()


def test_a_secret_that_was_typed_is_not_sent_back(operator, acme):
    response = add(operator, acme, "pagerduty", name="", config_integration_key=ROUTING_KEY)
    assert response.status_code == 200
    assert ROUTING_KEY not in response.content.decode()


@pytest.mark.parametrize("type", [key for key, kind in DESTINATION_TYPES.items() if kind.face == "event_sink"])
def test_every_type_has_a_form_with_a_field_for_each_of_its_configs(type):
    config = DESTINATION_TYPES[type].Config
    fields = make_fields(config, {})
    asked = {name for name, field in config.model_fields.items() if not field.exclude}
    assert {name.removeprefix("config_") for name in fields} == asked
    for name in asked:
        assert fields[f"config_{name}"].label == (
            config.model_fields[name].title or fields[f"config_{name}"].label
        )


# --- Changing


def test_a_masked_secret_stays_as_it_was(operator, webhook):
    save(operator, webhook, **shown(webhook, url="https://example.com/moved"))
    changed = EventSink.objects.get()
    assert changed.config["url"] == "https://example.com/moved"
    assert changed.opened_config().dump_revealed()["headers"] == {"Authorization": HEADER, "X-Team": "blue"}


def test_a_header_is_replaced_and_one_is_taken_away(operator, webhook):
    save(operator, webhook, **shown(webhook, headers="X-Team: red"))
    assert EventSink.objects.get().opened_config().dump_revealed()["headers"] == {"X-Team": "red"}
    save(operator, webhook, **shown(webhook, headers=""))
    assert "headers" not in EventSink.objects.get().config


def test_a_mask_with_something_behind_it_is_not_taken_for_a_secret(operator, acme):
    sink = configure.create(acme, "pagerduty", {"integration_key": ROUTING_KEY}, name="pager")
    response = save(operator, sink, config_integration_key="****" + "a" * 28)
    assert "Replace the whole value" in response.content.decode()
    save(operator, sink, config_integration_key="****", name="renamed")
    renamed = EventSink.objects.get()
    assert renamed.name == "renamed"
    assert renamed.opened_config().dump_revealed() == {"integration_key": ROUTING_KEY}
    assert "integration key" not in LogEntry.objects.get().change_message.lower()


def test_a_change_of_the_name_alone_does_not_wake_a_disabled_sink(operator, webhook):
    park(webhook.pk, webhook.version, "410 Gone")
    save(operator, webhook, **shown(webhook), name="other")
    assert EventSink.objects.get().state == "parked"
    save(operator, webhook, **shown(webhook, url="https://example.com/repaired"))
    assert EventSink.objects.get().state == "active"


def test_a_channel_by_another_name_drops_the_id_of_the_old_one(operator, acme, workspace):
    config = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "channel_name": "old"}
    sink = configure.create(acme, "slack", config, name="slack")
    form = {
        "config_slack_integration_id": str(workspace.id),
        "config_channel_id": "C1",
        "config_channel_name": "new",
    }
    save(operator, sink, **form)
    changed = EventSink.objects.get().config
    assert (changed["channel_name"], changed.get("channel_id", "")) == ("new", "")


# --- The list


def test_the_list_says_in_words_how_each_sink_stands(operator, make_webhook):
    make_webhook(name="well")
    configure.pause(make_webhook(name="paused"), "by an operator")
    parked = make_webhook(name="parked")
    park(parked.pk, parked.version, "the far end answered 410 Gone")
    hold(make_webhook(name="held").pk, 600)
    page = operator.get(reverse(LIST)).content.decode()
    for words in ("Active", "Paused", "Disabled: the far end answered 410 Gone", "Held until"):
        assert words in page


def test_the_list_shows_the_host_and_not_the_rest_of_the_url(operator, make_webhook):
    make_webhook("https://example.com/path?token=in-the-url")
    page = operator.get(reverse(LIST)).content.decode()
    assert "example.com" in page
    assert "in-the-url" not in page


def test_the_list_shows_the_backlog_and_the_last_attempt(
    operator, make_webhook, make_alert, make_attempt, in_state
):
    make_webhook()
    for _ in range(3):
        make_alert()
    first, *_ = Delivery.objects.order_by("id")
    make_attempt(in_state(first, "delivered"), outcome="delivered", status=202)
    page = operator.get(reverse(LIST)).content.decode()
    assert '<span class="es-nowrap">2</span>' in page
    assert ">202</span>" in page
    assert "The last 3 deliveries: 2 pending, 1 delivered" in page


def test_the_list_costs_no_more_with_a_larger_backlog(
    operator, make_webhook, make_alert, django_assert_max_num_queries
):
    make_webhook()
    for _ in range(5):
        make_alert()
    with django_assert_max_num_queries(20):
        operator.get(reverse(LIST))


# --- Pausing, resuming, revealing, deleting


def test_pause_and_resume(operator, webhook):
    operator.post(page_of(webhook, "pause"))
    assert (EventSink.objects.get().state, EventSink.objects.get().state_reason) == ("paused", "by an operator")
    operator.post(page_of(webhook, "resume"))
    assert EventSink.objects.get().state == "active"
    assert [entry.change_message for entry in LogEntry.objects.order_by("id")] == ["Paused.", "Resumed."]


def test_nothing_moves_by_looking_at_it(operator, webhook):
    for button in ("pause", "resume", "signing_secret"):
        assert operator.get(page_of(webhook, button)).status_code == 405


def test_sinks_are_paused_and_resumed_from_the_list(operator, make_webhook):
    chosen = [make_webhook(), make_webhook()]
    other = make_webhook()
    ids = [sink.pk for sink in chosen]
    operator.post(reverse(LIST), {"action": "pause_chosen", "_selected_action": ids})
    assert {sink.pk for sink in EventSink.objects.filter(state="paused")} == set(ids)
    operator.post(reverse(LIST), {"action": "resume_chosen", "_selected_action": [*ids, other.pk]})
    assert not EventSink.objects.exclude(state="active").exists()


def test_who_may_only_look_moves_nothing(sign_in, webhook):
    client = sign_in("view_eventsink")
    assert client.post(page_of(webhook, "pause")).status_code == 403
    assert save(client, webhook, **shown(webhook, url="https://example.com/other")).status_code == 403
    client.post(reverse(LIST), {"action": "pause_chosen", "_selected_action": [webhook.pk]})
    unchanged = EventSink.objects.get()
    assert (unchanged.state, unchanged.version) == ("active", webhook.version)


@pytest.mark.guarantee("S12")
def test_the_signing_secret_is_shown_to_who_may_and_that_is_noted(operator, webhook):
    response = operator.post(page_of(webhook, "signing_secret"))
    assert webhook.signing_secret in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    entry = LogEntry.objects.get()
    assert entry.change_message == "Signing secret shown."
    assert webhook.signing_secret not in operator.get(page_of(webhook)).content.decode()


def test_the_signing_secret_needs_a_permission_of_its_own(sign_in, webhook):
    client = sign_in("view_eventsink", "change_eventsink")
    assert client.post(page_of(webhook, "signing_secret")).status_code == 403
    assert not LogEntry.objects.exists()
    of_sinks = ContentType.objects.get_for_model(EventSink, for_concrete_model=False)
    permission, _ = Permission.objects.get_or_create(
        codename="reveal_signing_secret", content_type=of_sinks, defaults={"name": "Can read signing secrets"}
    )
    permission.user_set.add(client.session["_auth_user_id"])
    assert webhook.signing_secret in client.post(page_of(webhook, "signing_secret")).content.decode()


def test_deleting_suppresses_what_was_owed_and_forgets_the_secrets(operator, webhook, make_alert):
    make_alert()
    operator.post(page_of(webhook, "delete"), {"post": "yes"})
    gone = Destination.objects.get()
    assert gone.deleted_at <= timezone.now()
    assert gone.sealed_secrets == gone.sealed_signing_secret == ""
    assert Delivery.objects.get().state == "suppressed"
    assert operator.get(page_of(webhook)).status_code == 302


def test_sinks_are_deleted_from_the_list_in_the_same_way(operator, webhook, make_alert):
    make_alert()
    chosen = {"action": "delete_selected", "_selected_action": [webhook.pk], "post": "yes"}
    operator.post(reverse(LIST), chosen)
    assert Destination.objects.get().deleted_at
    assert Delivery.objects.get().state == "suppressed"
