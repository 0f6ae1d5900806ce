"""The options of event sinks over /v1, silences, and the verb that tests a sink at once."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from werkzeug import Request, Response

from eventsinks.models import Attempt, Delivery, Event
from eventsinks.models.options import Options
from tests.api.conftest import fields_of

pytestmark = pytest.mark.django_db

OPTIONS = {
    "filter": "severity_id >= 4",
    "alert_template": {
        "info": [{"label": "Who", "value": "{{@alert.user}}", "use_for_dedup": True}],
        "actions": [{"label": "Runbook", "value": "https://example.com/runbook"}],
    },
    "quiet": {
        "dedup_window_s": 600,
        "group": {"by": ["detection_rule_id"], "window_s": 60},
        "throttle": {"limit": 10, "window_s": 60},
    },
    "drill_interval_s": 86400,
    "rate_limit_per_s": 2.5,
    "ordering": "event_sink",
    "ordering_key": "user.name",
    "ordering_policy": "wait",
    "event_types": ["detection_alert"],
}


def hour_from_now():
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.fixture
def create(api, acme):
    def send(**fields):
        args = {"Webhook": {"url": "https://example.com/hook"}}
        body = {"tenant_id": str(acme.id), "name": "sink", "description": "", "event_sink_args": args, **fields}
        return api.post("/v1/event_sink", body)

    return send


class TestOptions:
    def test_what_a_sink_was_read_with_does_not_change_under_whoever_shares_it(self):
        options = Options.model_validate(OPTIONS)
        with pytest.raises(ValidationError, match="frozen"):
            options.filter = "false"
        with pytest.raises(ValidationError, match="frozen"):
            options.quiet.dedup_window_s = 1

    def test_they_are_given_on_create_and_shown(self, create):
        first = create().json()["event_sink"]["id"]
        fallback = {"event_sink_id": first, "after_failures": 2, "after_s": 120}
        made = create(**OPTIONS, fallback=fallback).json()["event_sink"]
        assert {name: made[name] for name in OPTIONS} == OPTIONS
        assert made["fallback"] == fallback

    def test_on_update_what_is_absent_stays_and_null_takes_away(self, api, create):
        id = create(**OPTIONS).json()["event_sink"]["id"]
        changed = api.put(f"/v1/event_sink/{id}", {"quiet": None, "filter": None}).json()["event_sink"]
        assert (changed["quiet"], changed["filter"]) == (None, None)
        assert (changed["drill_interval_s"], changed["alert_template"]) == (86400, OPTIONS["alert_template"])

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"filter": "severity_id >="}, "filter"),
            ({"filter": 7}, "filter"),
            ({"filter": "x" * 10_000}, "filter"),
            ({"quiet": {"dedup_window_s": 0}}, "quiet.dedup_window_s"),
            ({"quiet": {"dedup_window_s": "60"}}, "quiet.dedup_window_s"),
            ({"quiet": {"throttle": {"limit": 1}}}, "quiet.throttle.window_s"),
            ({"quiet": {"group": {"by": [], "window_s": 1}}}, "quiet.group.by"),
            ({"quiet": {"group": {"by": ["a..b"], "window_s": 1}}}, "quiet.group.by.0"),
            ({"quiet": {"loud": 1}}, "quiet.loud"),
            ({"alert_template": {"info": [{"label": "x"}]}}, "alert_template.info.0.value"),
            ({"fallback": {"event_sink_id": "not one"}}, "fallback.event_sink_id"),
            ({"fallback": {"event_sink_id": "0b6a28a5-7d3e-4f0c-9a40-0b6a28a57d3e"}}, "fallback.event_sink_id"),
            ({"drill_interval_s": 1}, "drill_interval_s"),
            ({"rate_limit_per_s": 0}, "rate_limit_per_s"),
            ({"ordering": "incidents"}, "ordering"),
            ({"ordering_key": "user.name =="}, "ordering_key"),
            ({"ordering_policy": "never"}, "ordering_policy"),
            ({"rate_limit_per_s": "5"}, "rate_limit_per_s"),
            ({"rate_limit_per_s": 1001}, "rate_limit_per_s"),
            ({"event_types": ["nothing"]}, "event_types.0"),
        ],
    )
    def test_what_can_not_be_is_refused_by_field_and_nothing_is_kept(self, api, create, given, field):
        assert field in fields_of(create(**given))
        assert api.get("/v1/event_sink").json()["event_sinks"] == []

    def test_explain_says_what_held_an_alert_back(self, api, create):
        create(filter="severity_id >= 4")
        api.post("/v1/detection_alert", {"id": "a", "name": "x", "severity": "Low"})
        (verdict,) = api.get("/v1/detection_alert/a/explain").json()["event_sinks"]
        assert (verdict["verdict"], "severity_id >= 4" in verdict["why"]) == ("suppressed", True)


class TestSilences:
    def test_one_is_made_listed_got_and_ended(self, api, create):
        create()
        asked = {"reason": "maintenance", "author": "Ann", "filter": 'name == "x"', "ends_at": hour_from_now()}
        made = api.post("/v1/silence", asked).json()["silence"]
        api.post("/v1/detection_alert", {"name": "x", "severity": "Low"})
        api.post("/v1/detection_alert", {"name": "y", "severity": "Low"})
        path = f"/v1/silence/{made['id']}"
        assert (api.get(path).json()["silence"]["held"], made["held"]) == (1, 0)
        assert [one["id"] for one in api.get("/v1/silence").json()["data"]["silences"]] == [made["id"]]
        assert [api.delete(path).status_code, api.delete(path).status_code] == [200, 404]
        assert list(Delivery.objects.order_by("id").values_list("state", flat=True)) == ["suppressed", "pending"]

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"reason": ""}, "reason"),
            ({"author": "x" * 201}, "author"),
            ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
            ({"ends_at": 1}, "ends_at"),
            ({"filter": "name =="}, "filter"),
            ({"event_sink_id": 4}, "event_sink_id"),
        ],
    )
    def test_one_that_can_not_be_is_refused_by_field(self, api, given, field):
        asked = {"reason": "r", "author": "a", "ends_at": hour_from_now(), **given}
        assert field in fields_of(api.post("/v1/silence", asked))

    def test_a_preview_keeps_nothing(self, api):
        api.post("/v1/detection_alert", {"id": "a", "name": "x", "severity": "Low"})
        seen = api.post("/v1/silence/preview", {"filter": 'name == "x"'}).json()["preview"]
        assert (seen["looked_at"], seen["matching"], seen["examples"][0]["id"]) == (1, 1, "a")
        assert api.get("/v1/silence").json()["data"]["silences"] == []


class TestTesting:
    def test_it_sends_a_sample_at_once_and_answers_with_the_whole_attempt(self, api, make_webhook, httpserver):
        httpserver.expect_request("/hook").respond_with_data("thanks", status=202)
        sink = make_webhook(httpserver.url_for("/hook"), config={"headers": {"X-Key": "not-to-be-seen"}})
        response = api.post(f"/v1/event_sink/{sink.uuid}/test")
        attempt = response.json()["attempt"]
        assert (attempt["outcome"], attempt["status"], attempt["excerpt"]) == ("delivered", 202, "thanks")
        assert attempt["timings_ms"]["total"] > 0
        assert json.loads(attempt["request"]["body"])["name"] == f"Test alert for {sink.name}"
        assert b"not-to-be-seen" not in response.content

    def test_it_counts_nowhere(self, api, make_webhook, httpserver):
        httpserver.expect_request("/hook").respond_with_data("no", status=410)
        sink = make_webhook(httpserver.url_for("/hook"))
        attempt = api.post(f"/v1/event_sink/{sink.uuid}/test").json()["attempt"]
        sink.refresh_from_db()
        assert (attempt["outcome"], sink.state) == ("gone", "active")
        assert (Delivery.objects.count(), Attempt.objects.count()) == (0, 0)
        assert Event.objects.get().document["activity_code"] == "integration.test.send"

    def test_it_sends_an_alert_that_was_accepted_marked_as_a_test(self, api, make_webhook, make_alert, httpserver):
        seen = []

        def answer(request: Request) -> Response:
            seen.append(request)
            return Response("ok")

        httpserver.expect_request("/hook").respond_with_handler(answer)
        sink = make_webhook(httpserver.url_for("/hook"))
        make_alert(id="a", name="Real")
        api.post(f"/v1/event_sink/{sink.uuid}/test", {"detection_alert_id": "a"})
        assert json.loads(seen[0].data)["name"] == "Real"
        assert seen[0].headers["Eventsinks-Mark"] == "[TEST]"

    def test_a_far_end_that_is_not_there_is_said_and_no_error(self, api, make_webhook):
        sink = make_webhook("http://127.0.0.1:2/")
        attempt = api.post(f"/v1/event_sink/{sink.uuid}/test").json()["attempt"]
        assert (attempt["outcome"], attempt["reason"].split(":")[0]) == ("temporary", "connection_refused")

    @pytest.mark.guarantee("S8")
    def test_an_internal_address_is_refused_as_it_is_when_alerts_are_sent(self, api, make_webhook, settings):
        sink = make_webhook("http://127.0.0.1:2/")
        settings.EVENTSINKS_ALLOWED_NETWORKS = []
        attempt = api.post(f"/v1/event_sink/{sink.uuid}/test").json()["attempt"]
        assert attempt["reason"].split(":")[0] == "address_refused"

    def test_an_alert_that_there_is_not_is_named(self, api, make_webhook):
        sink = make_webhook()
        asked = {"detection_alert_id": "none"}
        assert "detection_alert_id" in fields_of(api.post(f"/v1/event_sink/{sink.uuid}/test", asked))


class TestResuming:
    @pytest.mark.parametrize(
        ("backlog", "left"),
        [("all", ["pending", "pending"]), ("skip", ["suppressed", "suppressed"]), (None, ["pending", "pending"])],
    )
    def test_it_does_with_the_backlog_what_was_asked(self, api, make_webhook, make_alert, backlog, left):
        sink = make_webhook()
        api.post(f"/v1/event_sink/{sink.uuid}/pause")
        make_alert()
        make_alert()
        asked = {} if backlog is None else {"backlog": backlog}
        assert api.post(f"/v1/event_sink/{sink.uuid}/resume", asked).json()["event_sink"]["state"] == "active"
        assert list(Delivery.objects.order_by("id").values_list("state", flat=True)) == left

    def test_what_came_since_a_moment_is_sent_and_the_rest_is_suppressed_with_the_reason(
        self, api, make_webhook, make_alert
    ):
        sink = make_webhook()
        api.post(f"/v1/event_sink/{sink.uuid}/pause")
        make_alert()
        moment = Delivery.objects.get().created_at + timedelta(milliseconds=2)
        while datetime.now(UTC) <= moment:
            pass
        make_alert()
        api.post(f"/v1/event_sink/{sink.uuid}/resume", {"backlog": {"since": moment.isoformat()}})
        first, second = Delivery.objects.order_by("id")
        assert (first.state, first.reason) == ("suppressed", "skipped when the event sink was resumed")
        assert second.state == "pending"

    @pytest.mark.parametrize("backlog", ["some", {"since": "yesterday"}, {"since": None}, 4, []])
    def test_anything_else_is_refused_by_field(self, api, make_webhook, backlog):
        sink = make_webhook()
        fields = fields_of(api.post(f"/v1/event_sink/{sink.uuid}/resume", {"backlog": backlog}))
        assert all(field.startswith("backlog") for field in fields)
