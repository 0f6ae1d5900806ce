"""What is ours under /api/event-streaming: start, mapping and event types, and the verbs of an integration."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from eventsinks.actions.tenants import issue_key
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.lib.secrets.signing import decode_key, make_signature_headers
from eventsinks.models import Destination, Event, Position
from eventsinks.sending.hold import park
from eventsinks.streaming.streamer import stream
from tests.api.conftest import Caller
from tests.api.netbird.examples import AUDIT
from tests.api.netbird.test_integrations import PATH, both_paths, made, receiver, refused  # noqa: F401 - fixtures
from tests.helpers.receiver import answer
from tests.helpers.streams import outlet  # noqa: F401 - fixtures
from tests.helpers.visible import visible

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def unrecorded(acme_key, settings):
    """Begin with an empty log, and reach the receiver."""
    settings.EVENTSINKS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    Event.objects.all().delete()


def take(tenant, *ids, days=0):
    """Write audit events into the log, received so many days ago."""
    documents = [json.dumps({**AUDIT, "id": id}).encode() for id in ids]
    accept(tenant, event_type("audit"), documents)
    received_at = Now() - timedelta(days=days)
    Event.objects.filter(key__in=ids).update(received_at=received_at)
    visible(tenant)


def create(api, receiver, **more):  # noqa: F811
    body = {"platform": "generic_http", "config": {"url": receiver.url()}, "enabled": True, **more}
    response = api.post(PATH, body)
    assert response.status_code == 200, response.content
    return response.json()


def stream_now(id, outlet):  # noqa: F811
    visible(Destination.objects.get(id=id).tenant)
    Position.objects.filter(destination_id=id).update(due_at=Now() - timedelta(seconds=1))
    stream(id, outlet)


def came(receiver):  # noqa: F811
    """Return the ids of the events that came and were not ours, in order."""
    ids = [str(json.loads(request.body)["ID"]) for request in receiver.got]
    return [id for id in ids if len(id) < 5]


# --- Where it starts, what it hears, and in which shape -------------------------------------------


@pytest.mark.parametrize(
    ("start", "heard"),
    [
        ({}, []),
        ({"start": "now"}, []),
        ({"start": "beginning"}, ["1", "2", "3"]),
        ({"start": {"hours": 30}}, ["2", "3"]),
        ({"start": {"hours": 1}}, ["3"]),
    ],
)
def test_an_integration_starts_where_it_is_told_to(start, heard, api, acme, receiver, outlet):  # noqa: F811
    for id, days in (("1", 3), ("2", 1), ("3", 0)):
        take(acme, id, days=days)
    one = create(api, receiver, **start)
    stream_now(one["id"], outlet)
    assert came(receiver) == heard


@pytest.mark.parametrize("mapping", ["as_accepted", "netbird", "ocsf", "ecs"])
def test_a_mapping_can_be_chosen_and_changed_and_is_shown(mapping, api, receiver):  # noqa: F811
    one = create(api, receiver, mapping=mapping)
    assert one["mapping"] == mapping
    other = "ecs" if mapping != "ecs" else "ocsf"
    assert api.put(f"{PATH}/{one['id']}", {"mapping": other}).json()["mapping"] == other
    assert api.put(f"{PATH}/{one['id']}", {"enabled": False}).json()["mapping"] == other
    assert api.get(f"{PATH}/{one['id']}").json()["mapping"] == other


def test_the_event_types_it_hears_can_be_chosen_and_changed(api, receiver):  # noqa: F811
    one = create(api, receiver, event_types=["detection_alert"])
    assert one["event_types"] == ["detection_alert"]
    changed = api.put(f"{PATH}/{one['id']}", {"event_types": ["audit", "detection_alert"]}).json()
    assert changed["event_types"] == ["audit", "detection_alert"]
    assert create(api, receiver)["event_types"] == ["audit", "network_traffic"]


BAD = [
    ({"start": "yesterday"}, "start"),
    ({"start": {"hours": 0}}, "start"),
    ({"start": {"hours": "2"}}, "start"),
    ({"start": {"days": 2}}, "start"),
    ({"mapping": "cef"}, "mapping"),
    ({"mapping": 1}, "mapping"),
    ({"event_types": []}, "event_types"),
    ({"event_types": ["audit", "audit"]}, "event_types"),
    ({"event_types": ["weather"]}, "event_types"),
    ({"event_types": "audit"}, "event_types"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
def test_what_is_wrong_is_named_and_nothing_is_kept(wrong, field, api, receiver):  # noqa: F811
    body = {"platform": "generic_http", "config": {"url": receiver.url()}, "enabled": False}
    assert refused(api.post(PATH, body | wrong), 422).startswith(field)
    assert not Destination.objects.exists()
    if "start" not in wrong:
        one = create(api, receiver)
        assert refused(api.put(f"{PATH}/{one['id']}", wrong), 422).startswith(field)
        assert api.get(f"{PATH}/{one['id']}").json() == one


# --- The verbs ------------------------------------------------------------------------------------


@both_paths
def test_a_test_says_what_the_far_end_says_and_counts_nowhere(path, api, made, receiver):  # noqa: F811
    before = list(Position.objects.values()), list(Destination.objects.values())
    tried = api.post(f"{path}/{made['id']}/test").json()
    assert tried.pop("duration_ms") >= 0
    assert tried == {"taken": True, "reason": "", "status": 200, "answer": "ok"}
    assert json.loads(receiver.got[-1].body)["Message"] == "integration test"
    receiver.answers = lambda got: answer(503, (), b"closed for lunch")
    tried = api.post(f"{path}/{made['id']}/test").json()
    assert (tried["taken"], tried["status"], tried["answer"]) == (False, 503, "closed for lunch")
    assert "503" in tried["reason"]
    assert (list(Position.objects.values()), list(Destination.objects.values())) == before


def test_a_paused_integration_can_be_tested_too(api, made):  # noqa: F811
    api.post(f"{PATH}/{made['id']}/pause")
    assert api.post(f"{PATH}/{made['id']}/test").json()["taken"] is True
    assert api.get(f"{PATH}/{made['id']}").json()["state"] == "paused"


@both_paths
def test_pausing_keeps_what_comes_and_resuming_sends_it(path, api, acme, receiver, outlet):  # noqa: F811
    one = create(api, receiver)
    paused = api.post(f"{path}/{one['id']}/pause").json()
    assert (paused["state"], paused["enabled"]) == ("paused", False)
    take(acme, "7")
    stream_now(one["id"], outlet)
    assert came(receiver) == []
    resumed = api.post(f"{path}/{one['id']}/resume").json()
    assert (resumed["state"], resumed["enabled"]) == ("active", True)
    stream_now(one["id"], outlet)
    assert came(receiver) == ["7"]


def test_resuming_repairs_what_was_disabled(api, made):  # noqa: F811
    park(made["id"], 1, "no such key")
    assert api.get(f"{PATH}/{made['id']}/position").json()["reason"] == "no such key"
    resumed = api.post(f"{PATH}/{made['id']}/resume").json()
    assert (resumed["state"], resumed["state_reason"]) == ("active", "")


@both_paths
def test_a_replay_sends_a_stretch_again_and_nothing_else(path, api, acme, receiver, outlet):  # noqa: F811
    one = create(api, receiver)
    Event.objects.all().delete()  # that it was created is newer than what follows here
    for id, days in (("1", 3), ("2", 2), ("3", 1)):
        take(acme, id, days=days)
    stream_now(one["id"], outlet)
    since, until = (timezone.now() - timedelta(days=days) for days in (2.5, 1.5))
    asked = {"since": since.isoformat(), "until": until.isoformat()}
    told = api.post(f"{path}/{one['id']}/replay", asked)
    assert told.status_code == 200, told.content
    assert told.json()["replay"]["until_event_id"] == Event.objects.get(key="2").id
    refused(api.post(f"{path}/{one['id']}/replay", asked), 409, "another replay is under way")
    stream_now(one["id"], outlet)
    assert came(receiver) == ["1", "2", "3", "2"]
    assert api.get(f"{path}/{one['id']}/position").json()["replay"] is None
    assert api.post(f"{path}/{one['id']}/replay", {"since": since.isoformat()}).json()["replay"]
    assert api.delete(f"{path}/{one['id']}/replay").json()["replay"] is None
    stream_now(one["id"], outlet)
    assert came(receiver) == ["1", "2", "3", "2"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "since"),
        ({"since": "soon"}, "since: must be an RFC 3339 time"),
        ({"since": 1}, "since"),
        ({"since": None}, "since"),
        ({"since": "2026-01-01T00:00:00Z", "until": "later"}, "until: must be"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until must not be before since"),
    ],
)
def test_a_replay_of_no_stretch_is_refused_and_says_where(body, says, api, made):  # noqa: F811
    refused(api.post(f"{PATH}/{made['id']}/replay", body), 422, says)


@both_paths
def test_the_position_tells_how_far_it_is_and_what_it_waits_for(path, api, acme, receiver, outlet):  # noqa: F811
    one = create(api, receiver)
    at = f"{path}/{one['id']}/position"
    stream_now(one["id"], outlet)
    take(acme, "1", "2")
    told = api.get(at).json()
    assert (told["backlog"], told["backlog_capped"], told["state"]) == (2, False, "active")
    assert (told["tries"], told["reason"], told["next_try_at"]) == (0, "", None)
    receiver.answers = lambda got: answer(503)
    stream_now(one["id"], outlet)
    told = api.get(at).json()
    assert (told["tries"], told["backlog"]) == (1, 2)
    assert "503" in told["reason"]
    assert told["next_try_at"] is not None
    receiver.answers = lambda got: answer()
    stream_now(one["id"], outlet)
    told = api.get(at).json()
    newest = Event.objects.get(key="2")
    assert (told["event_id"], told["backlog"], told["tries"]) == (newest.id, 0, 0)
    assert told["received_at"].startswith(newest.received_at.isoformat()[:19])


def test_a_backlog_is_only_counted_up_to_a_limit(api, acme, receiver, monkeypatch):  # noqa: F811
    monkeypatch.setattr("eventsinks.models.stream.waiting.MOST", 2)
    one = create(api, receiver)
    take(acme, "1", "2", "3")
    told = api.get(f"{PATH}/{one['id']}/position").json()
    assert (told["backlog"], told["backlog_capped"]) == (2, True)


def test_who_may_only_read_sees_the_position_and_can_do_nothing(acme, made):  # noqa: F811
    reader = Caller(issue_key(acme, scopes=["event_streaming:read"])[1])
    assert reader.get(f"{PATH}/{made['id']}/position").status_code == 200
    for verb in ("test", "pause", "resume", "replay"):
        refused(reader.post(f"{PATH}/{made['id']}/{verb}", {"since": "2026-01-01T00:00:00Z"}), 403)


def test_secrets_that_can_not_be_opened_any_more_are_named_and_can_be_given_anew(api, receiver):  # noqa: F811
    config = {"url": receiver.url(), "headers": json.dumps({"X-Key": "very-secret"})}
    one = create(api, receiver, config=config)
    Destination.objects.update(sealed_secrets="gone", sealed_signing_secret="gone")
    refused(api.post(f"{PATH}/{one['id']}/test"), 422, "config.headers")
    assert api.put(f"{PATH}/{one['id']}", {"config": config}).status_code == 200
    assert api.post(f"{PATH}/{one['id']}/test").json()["taken"] is True


# --- Signatures


def signed_with(secret, got):
    """Whether a request carries a signature made with a secret."""
    timestamp = int(got.header("webhook-timestamp"))
    headers = dict(make_signature_headers([decode_key(secret)], got.header("webhook-id"), timestamp, got.body))
    return headers["webhook-signature"] in got.header("webhook-signature").split(" ")


@both_paths
def test_the_trial_is_signed_with_the_secret_that_is_then_shown(api, receiver, path):  # noqa: F811
    made = create(api, receiver)  # noqa: F811
    secret = api.get(f"{path}/{made['id']}/signing_secret").json()["signing_secret"]
    assert signed_with(secret, receiver.got[0])


@both_paths
def test_a_rotated_secret_signs_beside_the_old_one(api, receiver, path, outlet, acme):  # noqa: F811
    made = create(api, receiver)  # noqa: F811
    one = f"{path}/{made['id']}"
    old = api.get(f"{one}/signing_secret").json()["signing_secret"]
    new = api.post(f"{one}/rotate_secret", {"overlap_s": 3600}).json()["signing_secret"]
    assert new != old
    assert api.get(f"{one}/signing_secret").json()["signing_secret"] == new
    take(acme, "1")
    stream_now(made["id"], outlet)
    assert signed_with(new, receiver.got[-1])
    assert signed_with(old, receiver.got[-1])


def test_what_is_not_signed_has_no_signing_secret_to_show(api):
    body = {"platform": "datadog", "config": {"api_key": "k", "site": "datadoghq.eu"}, "enabled": False}
    id = api.post(PATH, body).json()["id"]
    refused(api.get(f"{PATH}/{id}/signing_secret"), 409, "not signed")
    refused(api.post(f"{PATH}/{id}/rotate_secret", {}), 409, "not signed")


def test_a_key_that_may_only_read_is_not_shown_the_signing_secret(acme, api, receiver):  # noqa: F811
    id = create(api, receiver)["id"]
    reader = Caller(issue_key(acme, scopes=["event_streaming:read"])[1])
    refused(reader.get(f"{PATH}/{id}/signing_secret"), 403, "event_streaming:write")


# --- Another origin


def test_another_origin_needs_the_headers_again(api, receiver):  # noqa: F811
    config = {"url": receiver.url(), "headers": json.dumps({"Authorization": "Bearer hunter2secret"})}
    made = create(api, receiver, config=config)  # noqa: F811
    one, before = f"{PATH}/{made['id']}", Destination.objects.values().get()
    came_by_now = len(receiver.got)
    for headers in (
        {},
        {"headers": made["config"]["headers"]},
        {"headers": json.dumps({"Authorization": "****"})},
    ):
        url = receiver.url().replace("127.0.0.1", "localhost")
        refused(api.put(one, {"config": {"url": url, **headers}}), 412, "config.headers")
    assert Destination.objects.values().get() == before
    assert len(receiver.got) == came_by_now
