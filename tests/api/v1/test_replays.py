"""Replays over /v1: asked for at a sink, watched, listed and cancelled."""

from datetime import timedelta

import pytest
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay_job import work_off_replays
from eventsinks.actions.tenants import issue_key
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Event, Replay
from eventsinks.models.delivery import make_id
from eventsinks.sending.dispatcher import Dispatcher
from tests.api.conftest import Caller, fields_of, says
from tests.helpers.worlds import World

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
    work_off_replays()
    work_off_replays()
    seen = api.get(f"/v1/replay/{made['id']}").json()["replay"]
    assert (seen["state"], seen["replayed"]) == ("done", 2)
    assert seen["ended_at"]
    assert seen.pop("outcome") == {"delivered": 0, "failed": 0, "open": 2}
    assert api.get("/v1/replay").json()["data"]["replays"] == [seen]


def test_a_dry_run_counts_and_keeps_nothing(api, path):
    answer = api.post(path, {"since": SINCE, "dry_run": True})
    told = answer.json()["preview"]
    assert (told["deliveries"], told["deliveries_capped"], len(told["sample"])) == (2, False, 2)
    assert (told["sample"][0]["title"], told["sample"][0]["state"]) == ("Root login", "failed")
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


class TestMany:
    """POST /v1/replay: of several event sinks and integrations at once."""

    @pytest.fixture
    def failed(self, acme, make_webhook, make_alert):
        """Return two event sinks and an integration, each with what has failed."""
        sinks = [make_webhook(name="one"), make_webhook(name="two")]
        made = configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="stream")
        make_alert(name="first")
        make_alert(name="second")
        event = Event.objects.filter(type="detection_alert").first()
        Delivery.objects.create(id=make_id(timezone.now()), event=event, destination=made)
        Delivery.objects.update(state="failed", tries=10, status=503, reason="busy", settled_at=timezone.now())
        return [*sinks, made]

    @pytest.mark.guarantee("R33")
    def test_of_all_event_sinks_where_none_is_named(self, api, failed):
        made = api.post("/v1/replay", {"since": SINCE}).json()["replays"]
        assert sorted((one["event_sink_name"], one["deliveries"]) for one in made) == [("one", 2), ("two", 2)]

    def test_of_those_that_are_named_an_integration_among_them(self, api, failed):
        named = {"event_sink_ids": [str(failed[1].uuid)], "integration_ids": [failed[2].id]}
        made = api.post("/v1/replay", {"since": SINCE, **named}).json()["replays"]
        assert [(one["event_sink_id"], one["integration_id"], one["deliveries"]) for one in made] == [
            (str(failed[1].uuid), None, 2),
            (None, failed[2].id, 1),
        ]
        work_off_replays()
        states = dict(Delivery.objects.values_list("destination__name", "state"))
        assert states == {"one": "failed", "two": "pending", "stream": "pending"}

    def test_all_or_none_where_one_is_under_way(self, api, failed):
        api.post(f"/v1/event_sink/{failed[1].uuid}/replay", {"since": SINCE})
        says(api.post("/v1/replay", {"since": SINCE}), 409, "two")
        assert Replay.objects.count() == 1

    def test_a_dry_run_counts_them_together(self, api, failed):
        told = api.post("/v1/replay", {"since": SINCE, "dry_run": True}).json()["preview"]
        assert (told["deliveries"], len(told["sample"])) == (4, 4)
        assert {one["destination_name"] for one in told["sample"]} == {"one", "two"}

    def test_what_is_not_there_is_named(self, api, failed, globex, make_webhook):
        foreign = make_webhook(tenant=globex)
        named = {"event_sink_ids": [str(failed[0].uuid), str(foreign.uuid)], "integration_ids": [failed[0].id]}
        answer = api.post("/v1/replay", {"since": SINCE, **named})
        assert fields_of(answer) == ["event_sink_ids.1", "integration_ids.0"]

    def test_a_dry_run_shows_events_of_a_type_that_only_a_newer_version_knows(self, api, failed):
        Event.objects.filter(type="detection_alert").update(type="of_tomorrow")
        named = {"integration_ids": [failed[2].id]}
        (shown,) = api.post("/v1/replay", {"since": SINCE, "dry_run": True, **named}).json()["preview"]["sample"]
        assert (shown["event_type"], shown["title"]) == ("of_tomorrow", "of_tomorrow")

    @pytest.mark.parametrize("id", [0, -1, 2**63, 2**64 - 1])
    def test_a_number_that_no_integration_has_is_refused_at_its_place(self, api, failed, id):
        answer = api.post("/v1/replay", {"since": SINCE, "integration_ids": [failed[2].id, id]})
        assert fields_of(answer) == ["integration_ids.1"]

    def test_integrations_need_the_scope_of_their_own_verbs(self, acme, failed):
        key = Caller(issue_key(acme, scopes=["event_sink:write"])[1])
        says(key.post("/v1/replay", {"since": SINCE, "integration_ids": [failed[2].id]}), 403, "event_streaming")

    def test_a_key_without_the_scope_neither_sees_nor_cancels_an_integrations_replay(self, acme, api, failed):
        (made,) = api.post("/v1/replay", {"since": SINCE, "integration_ids": [failed[2].id]}).json()["replays"]
        key = Caller(issue_key(acme, scopes=["event_sink:read", "event_sink:write"])[1])
        assert key.get("/v1/replay").json()["data"]["replays"] == []
        says(key.get(f"/v1/replay/{made['id']}"), 404)
        says(key.delete(f"/v1/replay/{made['id']}"), 404)
        assert Replay.objects.get().state == "running"

    def test_many_sinks_at_once_take_one_place_of_the_limit(self, api, acme, make_webhook):
        for number in range(25):
            make_webhook(name=f"{number}")
        assert len(api.post("/v1/replay", {"since": SINCE}).json()["replays"]) == 25

    def test_what_a_worker_has_taken_meanwhile_is_left_to_it(self, api, failed, monkeypatch):
        """By a filter that needs another table, too: what moves is guarded by the delivery's own row."""
        api.post("/v1/replay", {"since": SINCE, "event_type": "detection_alert"})
        replay, taken = Replay.objects.get(destination=failed[0]), Delivery.objects.filter(destination=failed[0])
        moves = replay_job.replay_in_order

        def claimed_first(deliveries):
            taken.update(state="sending", lease=make_id(timezone.now()), settled_at=None)
            return moves(deliveries)

        monkeypatch.setattr(replay_job, "replay_in_order", claimed_first)
        assert replay_job.replay_step(replay) == 0
        assert set(taken.values_list("state", flat=True)) == {"sending"}

    @pytest.mark.guarantee("R33")
    @pytest.mark.parametrize(
        ("asked", "count"),
        [
            ({"status_class": 5}, 4),
            ({"status_class": 4}, 0),
            ({"status_class": 0}, 0),
            ({"reason": "BUS"}, 4),
            ({"reason": "refused"}, 0),
            ({"event_type": "detection_alert"}, 4),
            ({"event_type": "audit"}, 0),
            ({"reason": "busy", "status_class": 5, "event_type": "detection_alert"}, 4),
        ],
    )
    def test_each_filter_keeps_what_it_says(self, api, failed, asked, count):
        told = api.post("/v1/replay", {"since": SINCE, "dry_run": True, **asked}).json()["preview"]
        assert told["deliveries"] == count
        assert (
            sum(one["deliveries"] for one in api.post("/v1/replay", {"since": SINCE, **asked}).json()["replays"])
            == count
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"status_class": 6},
            {"event_type": "of_tomorrow"},
            {"rate_per_s": 0},
            {"reason": ""},
            {"event_sink_ids": []},
        ],
    )
    def test_what_makes_no_sense_is_refused_at_its_field(self, api, failed, wrong):
        assert fields_of(api.post("/v1/replay", {"since": SINCE, **wrong})) == list(wrong)

    @pytest.mark.guarantee("R30")
    def test_a_rate_lets_so_many_go_in_a_second(self, api, failed):
        id = str(failed[0].uuid)
        made = api.post("/v1/replay", {"since": SINCE, "event_sink_ids": [id], "rate_per_s": 0.5}).json()[
            "replays"
        ][0]
        assert (made["rate_per_s"], work_off_replays(), work_off_replays()) == (0.5, 1, 0)
        Replay.objects.update(next_at=timezone.now() - timedelta(seconds=1))
        assert work_off_replays() == 1

    def test_what_is_replayed_says_so_in_a_header_and_on_record(self, api, failed, make_alert):
        api.post("/v1/replay", {"since": SINCE, "event_sink_ids": [str(failed[0].uuid)]})
        work_off_replays()
        make_alert(name="new")
        seen = []
        Dispatcher(World(lambda request: seen.append(dict(request.headers)) or Response(200, [], b""))).run()
        told = {headers["webhook-id"]: headers.get("webhook-replay") for headers in seen}
        assert sorted(map(str, told.values())) == ["None", "None", "true", "true"]
        for id, replayed in told.items():
            assert api.get(f"/v1/delivery/{id}").json()["delivery"]["replayed"] is bool(replayed)
        outcome = api.get(f"/v1/replay/{Replay.objects.get().id}").json()["replay"]["outcome"]
        assert outcome == {"delivered": 2, "failed": 0, "open": 0}
