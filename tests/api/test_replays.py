"""Replays over /v1: asked for at a sink, watched, listed and cancelled."""

import pytest
from django.utils import timezone

from eventsinks.actions.replay_sink import work_off
from eventsinks.actions.tenants import issue_key
from eventsinks.models import Delivery, Event, Replay
from tests.api.conftest import Caller, fields_of, says

pytestmark = pytest.mark.django_db
SINCE = "2020-01-01T00:00:00Z"


@pytest.fixture
def path(make_webhook, make_alert):
    """Return where a replay of a sink with two failed deliveries is asked for."""
    sink = make_webhook()
    make_alert()
    make_alert()
    Delivery.objects.update(state="failed", tries=10, settled_at=timezone.now())
    return f"/v1/event_sink/{sink.uuid}/replay"


def test_a_replay_goes_from_its_asking_to_its_end(api, path):
    made = api.post(path, {"since": SINCE}).json()["replay"]
    assert (made["state"], made["deliveries"], made["replayed"], made["states"]) == ("running", 2, 0, ["failed"])
    assert (made["since"], made["ended_at"]) == (SINCE, None)
    work_off()
    work_off()
    seen = api.get(f"/v1/replay/{made['id']}").json()["replay"]
    assert (seen["state"], seen["replayed"]) == ("done", 2)
    assert seen["ended_at"]
    assert api.get("/v1/replay").json()["data"]["replays"] == [seen]


def test_a_dry_run_counts_and_keeps_nothing(api, path):
    answer = api.post(path, {"since": SINCE, "dry_run": True})
    assert answer.json() == {"preview": {"deliveries": 2, "deliveries_capped": False}}
    assert not Replay.objects.exists()


def test_cancelled_it_can_not_be_cancelled_again(api, path):
    id = api.post(path, {"since": SINCE}).json()["replay"]["id"]
    assert api.delete(f"/v1/replay/{id}").json()["replay"]["state"] == "cancelled"
    says(api.delete(f"/v1/replay/{id}"), 409, "ended already")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"failed"}


def test_one_at_a_time(api, path):
    assert api.post(path, {"since": SINCE}).status_code == 200
    says(api.post(path, {"since": SINCE}), 409, "under way")


def test_the_list_is_paged_newest_first(api, path):
    ids = []
    for _ in range(3):
        ids.append(api.post(path, {"since": SINCE}).json()["replay"]["id"])
        api.delete(f"/v1/replay/{ids[-1]}")
    first = api.get("/v1/replay?page_size=2").json()
    token = first["pagination"]["next_page_token"]
    rest = api.get(f"/v1/replay?page_size=2&page_token={token}").json()
    assert [one["id"] for page in (first, rest) for one in page["data"]["replays"]] == ids[::-1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": None}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": 1_700_000_000}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "9999-12-31T23:59:59Z"}, "since"),
        ({"since": SINCE, "until": "2019-01-01T00:00:00Z"}, "until"),
        ({"since": SINCE, "until": "9999-12-31T23:59:59-01:00"}, "until"),
        ({"since": SINCE, "states": []}, "states"),
        ({"since": SINCE, "states": "failed"}, "states"),
        ({"since": SINCE, "states": ["suppressed"]}, "states.0"),
        ({"since": SINCE, "states": ["failed", "pending"]}, "states.1"),
        ({"since": SINCE, "states": [{}]}, "states.0"),
        ({"since": SINCE, "dry_run": "yes"}, "dry_run"),
        ({"since": SINCE, "sates": ["failed"]}, "sates"),
    ],
)
def test_what_is_wrong_is_named(api, path, body, field):
    assert fields_of(api.post(path, body)) == [field]
    assert not Replay.objects.exists()


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z"])
def test_the_beginning_of_time_is_all_of_it(api, path, since):
    assert api.post(path, {"since": since}).json()["replay"]["deliveries"] == 2


def test_it_needs_the_scope_of_a_sinks_verbs(acme, path):
    reader = Caller(issue_key(acme, scopes=["event_sink:read", "delivery:write"])[1])
    says(reader.post(path, {"since": SINCE}), 403, "event_sink:write")
    assert reader.get("/v1/replay").status_code == 200


def test_who_asked_is_on_record(acme, path):
    key, text = issue_key(acme, name="Night shift")
    made = Caller(text).post(path, {"since": SINCE}).json()["replay"]
    assert made["asked_by"] == "Night shift"
    started = Event.objects.filter(type="audit").latest("id").document
    assert (started["activity_code"], started["initiator_id"]) == ("replay.create", str(key.id))
    assert started["target_id"] == f"replay:{made['id']}"
