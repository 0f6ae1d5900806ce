"""Configure: what is kept and shown of a destination, and that changes neither mix nor cross tenants."""

import json
import uuid

import pytest
from django.db import connection

from eventsinks.actions import configure
from eventsinks.actions.configure import NotConfigurable
from eventsinks.actions.secrets.rotate_secret import rotate_secret
from eventsinks.lib.secrets.crypto import make_key
from eventsinks.models import Delivery, Destination, SlackWorkspace
from eventsinks.models.secrets.sealing import make_canary
from eventsinks.sending.hold import hold, park
from tests.helpers.crowd import at_once

SECRET = "zebra-crossing-42"
HEADERS = {"headers": {"X-Api-Key": SECRET}}


def fields(error):
    return {found.field for found in error.value.errors}


def everything(table="eventsinks_destination"):
    """Return all that the database holds of a table, as text."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return repr(cursor.fetchall())


@pytest.fixture
def make_workspace(acme):
    def make(tenant=None, token="xoxb-1"):
        workspace = SlackWorkspace(tenant=tenant or acme, team_id=uuid.uuid4().hex, team_name="Team")
        workspace.token = token
        workspace.save()
        return workspace

    return make


# --- What is kept and shown -----------------------------------------------------------------------


def test_a_secret_is_shown_masked_and_kept_sealed(make_webhook):
    sink = make_webhook(config=HEADERS)
    assert sink.config["headers"] == {"X-Api-Key": "****"}
    assert SECRET not in everything()
    assert sink.opened_config().headers["X-Api-Key"].get_secret_value() == SECRET
    assert SECRET not in repr(sink.opened_config())


def test_each_sink_signs_with_a_secret_of_its_own(make_webhook):
    one, other = make_webhook(), make_webhook()
    assert one.signing_secret.startswith("whsec_")
    assert one.signing_secret != other.signing_secret
    assert one.signing_secret not in everything()


def test_the_signing_secret_survives_a_change(make_webhook):
    sink = make_webhook()
    changed = configure.change(sink, {"url": "https://example.org/"})
    assert changed.signing_secret == sink.signing_secret


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://example.com", "colour": "red"}, "colour"),
        ({"url": "https://example.com", "headers": {"Host": "evil"}}, "headers"),
        ({"url": "https://example.com", "headers": {"webhook-signature": "v1,x"}}, "headers"),
        ({"url": "https://example.com", "headers": {"X-A": "1\r\nX-B: 2"}}, "headers"),
    ],
)
def test_what_can_not_be_kept_is_refused_by_its_field(acme, make_webhook, config, field):
    with pytest.raises(NotConfigurable) as refused:
        configure.create(acme, "webhook", config, name="bad")
    assert fields(refused) == {field}
    assert Destination.objects.count() == 0
    sink = make_webhook()
    if config:
        with pytest.raises(NotConfigurable):
            configure.change(sink, config)
        assert Destination.objects.values("config", "version").get() == {"config": sink.config, "version": 1}


def test_a_refusal_does_not_repeat_the_secret(acme):
    with pytest.raises(NotConfigurable) as refused:
        configure.create(acme, "webhook", {"url": "x", "headers": {"Host": SECRET, "X": f"{SECRET}\n"}}, name="")
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value.__cause__)


# --- Changes --------------------------------------------------------------------------------------


@pytest.mark.guarantee("S10")
def test_a_masked_value_sent_back_means_as_it_was(make_webhook):
    sink = make_webhook(config={"headers": {"X-Api-Key": SECRET, "X-Other": "old"}})
    changed = configure.change(sink, {"headers": {"X-Api-Key": "****", "X-Other": "new"}})
    opened = changed.opened_config().headers
    assert {name: value.get_secret_value() for name, value in opened.items()} == {
        "X-Api-Key": SECRET,
        "X-Other": "new",
    }


def test_what_is_not_given_stays(make_webhook):
    sink = make_webhook(config=HEADERS, name="before", description="words")
    changed = configure.change(sink, {"url": "https://example.com/else"})
    assert changed.opened_config().headers["X-Api-Key"].get_secret_value() == SECRET
    assert (changed.name, changed.description) == ("before", "words")
    renamed = configure.change(sink, name="after")
    assert (renamed.name, renamed.config) == ("after", changed.config)


def test_a_header_taken_out_is_gone(make_webhook):
    sink = make_webhook(config=HEADERS)
    changed = configure.change(sink, {"headers": None})
    assert changed.opened_config().headers is None
    assert changed.sealed_secrets == ""


def test_every_change_raises_the_version(make_webhook):
    sink = make_webhook()
    versions = [
        configure.change(sink, name="a").version,
        configure.change(sink, {"url": "https://example.org/"}).version,
        configure.pause(sink).version,
        configure.resume(sink).version,
    ]
    assert versions == [2, 3, 4, 5]


def test_a_change_on_an_old_copy_loses_nothing_of_the_newer_one(make_webhook):
    old_copy = make_webhook()
    configure.change(old_copy, {"url": "https://new.example/"})
    both = configure.change(old_copy, HEADERS)
    assert (both.config["url"], both.config["headers"]) == ("https://new.example/", {"X-Api-Key": "****"})


def test_a_change_that_falls_into_another_is_not_lost(make_webhook, monkeypatch):
    sink, unharmed = make_webhook(), configure.check_changes

    def interrupted(*arguments):
        changes = unharmed(*arguments)
        monkeypatch.setattr(configure, "check_changes", unharmed)
        configure.change(sink, HEADERS)
        return changes

    monkeypatch.setattr(configure, "check_changes", interrupted)
    both = configure.change(sink, {"url": "https://example.com/new"})
    assert (both.config["url"], both.config["headers"]) == ("https://example.com/new", {"X-Api-Key": "****"})
    assert both.version == 3


@pytest.mark.django_db(transaction=True)
def test_changes_at_the_same_time_do_not_mix(make_webhook):
    sink = make_webhook()

    def change(index):
        return configure.change(sink, {"url": f"https://{index}.example/"}, name=f"name {index}")

    results = at_once(4, change)
    done = [result for result in results if isinstance(result, Destination)]
    assert done
    assert {type(result) for result in results} <= {Destination, NotConfigurable}
    end = Destination.objects.get()
    number = end.name.removeprefix("name ")
    assert end.config["url"] == f"https://{number}.example/"
    assert end.version == 1 + len(done)


def test_nothing_given_changes_nothing_that_is_shown(make_webhook):
    sink = make_webhook(config=HEADERS, name="same")
    changed = configure.change(sink)
    assert (changed.config, changed.name, changed.state) == (sink.config, "same", "active")


# --- Active, paused, disabled ---------------------------------------------------------------------


def test_pausing_and_resuming(make_webhook):
    sink = make_webhook()
    paused = configure.pause(sink, "too loud")
    assert (paused.state, paused.state_reason, paused.enabled) == ("paused", "too loud", False)
    hold(sink.id, 3600)
    resumed = configure.resume(sink)
    assert (resumed.state, resumed.state_reason, resumed.held_until) == ("active", "", None)
    assert configure.resume(sink).version == resumed.version  # nothing to do


def test_a_repaired_sink_is_active_again(make_webhook):
    sink = make_webhook()
    assert park(sink.id, 1, "the far end answered 410 Gone")
    hold(sink.id, 3600)
    repaired = configure.change(sink, {"url": "https://example.org/"})
    assert (repaired.state, repaired.state_reason, repaired.held_until) == ("active", "", None)


def test_a_new_name_repairs_nothing(make_webhook):
    sink = make_webhook()
    park(sink.id, 1, "the far end answered 410 Gone")
    assert configure.change(sink, name="new").state == "parked"


def test_a_paused_sink_stays_paused_over_a_change(make_webhook):
    sink = configure.pause(make_webhook())
    assert configure.change(sink, {"url": "https://example.org/"}).state == "paused"
    assert configure.change(sink, enabled=True).state == "active"
    assert configure.change(sink, enabled=False).state == "paused"


def test_what_was_changed_meanwhile_is_not_disabled(make_webhook):
    sink = make_webhook()
    configure.change(sink, {"url": "https://example.org/"})
    assert not park(sink.id, 1, "the old place is gone")
    assert Destination.objects.get().state == "active"


def test_a_paused_sink_is_not_disabled(make_webhook):
    sink = configure.pause(make_webhook())
    assert not park(sink.id, sink.version, "gone")
    assert Destination.objects.get().state == "paused"


def test_a_reason_that_no_column_takes_parks_a_sink_all_the_same(make_webhook):
    sink = make_webhook()
    assert park(sink.id, sink.version, "a\0b\ud800")
    assert Destination.objects.get().state_reason == "a\N{REPLACEMENT CHARACTER}b?"


def test_a_longer_hold_stays(make_webhook):
    sink = make_webhook()
    hold(sink.id, 3600)
    long = Destination.objects.get().held_until
    hold(sink.id, 60)
    assert Destination.objects.get().held_until == long
    hold(sink.id, 7200)
    assert Destination.objects.get().held_until > long


def test_a_sink_whose_secrets_can_not_be_opened_is_repaired_by_giving_them_anew(make_webhook, settings):
    sink = make_webhook(config=HEADERS)
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key()]
    make_canary()  # somebody has decided to go on without the old one
    park(sink.id, 1, "its configuration can't be read")
    with pytest.raises(NotConfigurable) as refused:
        configure.change(sink, {"headers": {"X-Api-Key": "****"}})
    assert fields(refused) == {"headers.X-Api-Key"}
    repaired = configure.change(sink, {"headers": {"X-Api-Key": "new-secret"}})
    assert repaired.state == "active"
    assert repaired.opened_config().headers["X-Api-Key"].get_secret_value() == "new-secret"
    assert repaired.config["url"] == sink.config["url"]


def test_a_repaired_sink_does_without_an_old_signing_secret_that_can_not_be_opened(make_webhook, settings):
    sink = make_webhook()
    rotate_secret(sink, 3600)
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key()]
    make_canary()  # somebody has decided to go on without the old one
    repaired = configure.change(sink, {})
    assert repaired.opened()
    assert (repaired.sealed_old_signing_secret, repaired.old_signing_secret_until) == ("", None)


def test_a_change_of_the_config_leaves_the_signing_secrets_as_they_are(make_webhook):
    sink = make_webhook()
    rotate_secret(sink, 3600)
    before, after = Destination.objects.get(), configure.change(sink, {"url": "https://example.com/other"})
    for column in ("sealed_signing_secret", "sealed_old_signing_secret", "old_signing_secret_until"):
        assert getattr(after, column) == getattr(before, column)


# --- Deleting -------------------------------------------------------------------------------------


def test_deleting_suppresses_what_is_owed_and_erases_secrets(make_webhook, make_alert):
    sink, other = make_webhook(config=HEADERS), make_webhook()
    make_alert()
    assert configure.delete(sink)
    gone = Destination.objects.get(id=sink.id)
    assert (gone.sealed_secrets, gone.sealed_signing_secret) == ("", "")
    assert gone.deleted_at is not None
    states = dict(Delivery.objects.values_list("destination_id", "state"))
    assert states == {sink.id: "suppressed", other.id: "pending"}
    assert make_alert().deliveries == 1


def test_deleting_twice_is_as_good_as_once(make_webhook):
    sink = make_webhook()
    assert [configure.delete(sink), configure.delete(sink)] == [True, False]


def test_what_is_deleted_can_not_be_changed_or_brought_back(make_webhook):
    sink = make_webhook()
    configure.delete(sink)
    with pytest.raises(Destination.DoesNotExist):
        configure.change(sink, name="again")
    configure.pause(sink)
    configure.resume(sink)
    assert Destination.objects.get(id=sink.id).deleted_at is not None
    assert Destination.objects.get(id=sink.id).state == "active"


# --- Tenants --------------------------------------------------------------------------------------


def test_a_tenant_sees_only_its_own(acme, globex, make_webhook):
    mine, theirs = make_webhook(), make_webhook(tenant=globex)
    assert list(Destination.objects.of(acme)) == [mine]
    assert list(Destination.objects.of(globex)) == [theirs]


def slack(tenant, workspace, **config):
    named = {"slack_integration_id": str(workspace.id), "channel_id": "C1", **config}
    return configure.create(tenant, "slack", named, name="slack")


def test_a_slack_sink_speaks_with_its_workspaces_token(acme, make_workspace):
    sink = slack(acme, make_workspace(token="xoxb-secret"))
    assert sink.opened_config().token.get_secret_value() == "xoxb-secret"
    assert "xoxb-secret" not in everything() + json.dumps(sink.config)


def test_a_new_token_of_the_workspace_is_used_by_its_sinks(acme, make_workspace):
    workspace = make_workspace(token="xoxb-old")
    sink = slack(acme, workspace)
    workspace.token = "xoxb-new"
    workspace.save()
    assert Destination.objects.get(id=sink.id).opened_config().token.get_secret_value() == "xoxb-new"


def test_another_tenants_workspace_is_unknown(acme, globex, make_workspace):
    theirs = make_workspace(globex)
    with pytest.raises(NotConfigurable) as refused:
        slack(acme, theirs)
    assert fields(refused) == {"slack_integration_id"}
    mine = slack(acme, make_workspace())
    with pytest.raises(NotConfigurable) as refused:
        configure.change(mine, {"slack_integration_id": str(theirs.id)})
    assert fields(refused) == {"slack_integration_id"}


def test_moving_to_another_workspace_moves_to_its_token(acme, make_workspace):
    sink = slack(acme, make_workspace(token="xoxb-old"))
    other = make_workspace(token="xoxb-new")
    moved = configure.change(sink, {"slack_integration_id": str(other.id)})
    assert moved.slack_workspace_id == other.id
    assert moved.config["slack_integration_id"] == str(other.id)
    assert moved.opened_config().token.get_secret_value() == "xoxb-new"


@pytest.mark.parametrize("named", ["", "nonsense", 5, ["x"], "6a1d5f0e-3c58-4b8f-9a51-0b6f6c1f2e10"])
def test_a_workspace_that_there_is_not_is_an_error_of_its_field(acme, named):
    with pytest.raises(NotConfigurable) as refused:
        configure.create(acme, "slack", {"slack_integration_id": named, "channel_id": "C1"}, name="slack")
    assert fields(refused) == {"slack_integration_id"}
