"""Our own changes are audit events of their tenant: committed with the change, and never with a secret."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, transaction

from eventsinks.actions import configure
from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.replay_stream import replay_stream, stop_replay
from eventsinks.actions.tenants import issue_key, revoke_key
from eventsinks.intake import audit, commit
from eventsinks.intake.audit import Initiator
from eventsinks.models import ApiKey, Delivery, Destination, Event, Position
from eventsinks.sending.hold import park

pytestmark = pytest.mark.django_db
HTTP = {"url": "https://example.com/", "headers": '{"X-Key": "very-secret"}'}
JO = Initiator("key-1", "Jo's key", "jo@acme.example")


def trail(tenant):
    """Return what was recorded for a tenant, in order."""
    return [event.document for event in Event.objects.filter(tenant=tenant, type="audit").order_by("id")]


def codes(tenant):
    return [document["activity_code"] for document in trail(tenant)]


def test_an_integrations_life_is_recorded_as_netbird_does(acme):
    made = configure.create(acme, "generic_http", HTTP, name="HTTP", initiator=JO)
    configure.change(made, {"url": "https://example.com/new"}, initiator=JO)
    configure.pause(made, initiator=JO)
    configure.resume(made, JO)
    configure.delete(made, JO)
    recorded = trail(acme)
    assert [one["activity_code"] for one in recorded] == [
        "integration.create",
        "integration.update",
        "integration.update",
        "integration.update",
        "integration.delete",
    ]
    assert recorded[0] == {
        **recorded[0],
        "activity": "Integration created",
        "initiator_id": "key-1",
        "initiator_name": "Jo's key",
        "initiator_email": "jo@acme.example",
        "target_id": f"event_streaming:{made.id}",
        "meta": {**recorded[0]["meta"], "platform": "generic_http"},
    }
    assert "very-secret" not in str(recorded)


def test_an_event_sinks_life_is_recorded_too(acme):
    sink = configure.create(acme, "webhook", {"url": "https://example.com/"}, name="Hook")
    configure.delete(sink)
    assert codes(acme) == ["integration.create", "integration.delete"]
    created = trail(acme)[0]
    assert created["target_id"] == f"event_sink:{sink.uuid}"
    assert (created["meta"]["platform"], created["meta"]["name"]) == ("webhook", "Hook")
    assert created["meta"]["config.url"].startswith("https://example.com/… #")
    assert created["initiator_id"] == "sys"


def test_what_changes_nothing_is_not_recorded(acme):
    sink = configure.create(acme, "webhook", {"url": "https://example.com/"}, name="Hook")
    configure.pause(sink)
    configure.pause(sink)
    configure.delete(sink)
    configure.delete(sink)
    assert codes(acme) == ["integration.create", "integration.update", "integration.delete"]


def test_keys_are_recorded_without_their_text(acme):
    key, text = issue_key(acme, name="CI", scopes=["event:read"], initiator=JO)
    revoke_key(key, JO)
    revoke_key(key, JO)
    assert codes(acme) == ["personal.access.token.create", "personal.access.token.delete"]
    assert trail(acme)[0]["meta"] == {"name": "CI", "prefix": key.prefix, "scopes": "event:read"}
    assert text not in str(trail(acme))


def test_an_operators_key_is_no_tenants_event(db):
    key, _ = issue_key(None)
    revoke_key(key)
    assert not Event.objects.exists()


@pytest.mark.parametrize("change", ["create", "change", "pause", "delete", "issue", "revoke"])
def test_a_change_that_can_not_be_recorded_is_not_made(acme, change, monkeypatch):
    sink = configure.create(acme, "webhook", {"url": "https://example.com/"}, name="Hook")
    key, _ = issue_key(acme)
    before = everything()

    def refuse(events):
        raise DatabaseError("disk full")

    changes = {
        "create": lambda: configure.create(acme, "generic_http", HTTP, name="x"),
        "change": lambda: configure.change(sink, name="y"),
        "pause": lambda: configure.pause(sink),
        "delete": lambda: configure.delete(sink),
        "issue": lambda: issue_key(acme),
        "revoke": lambda: revoke_key(key),
    }
    monkeypatch.setattr(commit, "insert_new", refuse)
    with pytest.raises(DatabaseError):
        changes[change]()
    assert everything() == before


def everything():
    return [list(model.objects.order_by("pk").values()) for model in (Destination, ApiKey, Event)]


def test_a_change_whose_event_is_not_taken_is_made_and_the_log_says_why(acme, make_webhook, settings, caplog):
    sink = make_webhook()
    settings.EVENTSINKS_MAX_EVENT_BYTES = 10
    before = trail(acme)
    configure.pause(sink)
    assert Destination.objects.get().state == "paused"
    assert trail(acme) == before
    assert "is larger than 10 bytes" in caplog.text
    assert [line.levelname for line in caplog.records if "is not recorded" in line.message] == ["ERROR"]


def test_a_rollback_leaves_no_record(acme):
    with transaction.atomic():
        audit.record_change(acme, audit.CREATED, "x", {})
        transaction.set_rollback(True)
    assert trail(acme) == []


def test_another_tenant_hears_nothing_of_it(acme, globex):
    configure.create(acme, "generic_http", HTTP, name="HTTP")
    assert trail(globex) == []


def test_that_the_engine_disabled_it_is_recorded_with_the_reason_once(acme):
    made = configure.create(acme, "generic_http", HTTP, name="HTTP")
    assert park(made.id, made.version, "no such key")
    assert not park(made.id, made.version, "no such key")
    configure.resume(made, JO)
    parked, resumed = trail(acme)[1:]
    assert (parked["activity_code"], parked["initiator_id"]) == ("integration.update", "sys")
    assert parked["target_id"] == f"event_streaming:{made.id}"
    assert parked["meta"] == {"platform": "generic_http", "state": "parked", "reason": "no such key"}
    assert (resumed["initiator_id"], resumed["meta"]["state"]) == ("key-1", "active")


def test_a_replay_of_deliveries_is_recorded_for_each_destination_with_their_number(acme, make_webhook, make_alert):
    sinks = [make_webhook(), make_webhook()]
    make_alert()
    make_alert()
    Delivery.objects.update(state="failed")
    before = len(trail(acme))
    assert replay(Delivery.objects.filter(destination=sinks[0]), JO) == 2
    assert replay(Delivery.objects.filter(destination=sinks[0], state="failed"), JO) == 0
    (recorded,) = trail(acme)[before:]
    assert recorded["activity_code"] == "integration.update"
    assert recorded["target_id"] == f"event_sink:{sinks[0].uuid}"
    assert (recorded["initiator_id"], recorded["meta"]["replayed"]) == ("key-1", "2")


def test_what_was_owed_to_a_deleted_sink_is_not_replayed(acme, make_webhook, make_alert):
    gone, sink = make_webhook(), make_webhook()
    make_alert()
    Delivery.objects.update(state="failed")
    configure.delete(gone)
    before = len(trail(acme))
    assert replay(Delivery.objects.all(), JO) == 1
    assert dict(Delivery.objects.values_list("destination", "state")) == {gone.id: "failed", sink.id: "pending"}
    (recorded,) = trail(acme)[before:]
    assert recorded["target_id"] == f"event_sink:{sink.uuid}"


def test_a_replay_of_a_stream_is_recorded_and_so_is_its_end(acme):
    made = configure.create(acme, "generic_http", HTTP, name="HTTP")
    Position.objects.update(event_id=Event.objects.latest("id").id, xid=Event.objects.latest("id").xid)
    before = len(trail(acme))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert replay_stream(made, since, initiator=JO)
    assert stop_replay(made, JO)
    assert not stop_replay(made, JO)
    asked, stopped = trail(acme)[before:]
    assert (asked["activity_code"], asked["initiator_id"]) == ("integration.update", "key-1")
    assert asked["meta"] == {"platform": "generic_http", "replay_since": "2026-01-01T00:00:00Z"}
    assert stopped["meta"] == {"platform": "generic_http", "replay": "stopped"}
