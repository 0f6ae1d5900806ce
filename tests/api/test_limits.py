"""Limits as callers meet them: 429, the limit by its name, and after how many seconds to come again."""

import time
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY

from eventsinks.actions.slack import install
from eventsinks.actions.slack import state as slack_state
from eventsinks.actions.tenants import issue_key
from eventsinks.api import wrong_keys
from eventsinks.event_types.documents import write_time
from eventsinks.models import Destination, Event, Tenant
from eventsinks.models.limits import NAMES, TenantLimits
from tests.api.conftest import Caller, says
from tests.helpers.receiver import Receiver

pytestmark = pytest.mark.django_db
ALERTS, AUDIT, TRAFFIC = "/v1/detection_alert", "/api/events/audit", "/api/events/network-traffic"
ALERT = {"name": "n", "severity": "High"}
WEBHOOK = {"Webhook": {"url": "https://example.com/hook"}}
KEY = "es_" + "A" * 43  # looks like one


def audit(number=0):
    return {"id": str(number), "activity": "a", "activity_code": "user.join", "timestamp": "2026-01-01T00:00:00Z"}


def limited(response, name):
    """Assert that an answer of /v1 says that this limit is reached. Return how many seconds it asks to wait."""
    error = says(response, 429, name)
    assert error["code"] == "limit_reached"
    assert [field["field"] for field in error["fields"]] == [name]
    return seconds(response)


def limited_at_api(response, name):
    """The same of /api."""
    assert response.status_code == 429, response.content
    assert set(response.json()) == {"message", "code"}
    assert response.json()["code"] == 429
    assert name in response.json()["message"]
    return seconds(response)


def seconds(response):
    assert response["Retry-After"].isdecimal()
    assert int(response["Retry-After"]) >= 1
    return int(response["Retry-After"])


def create_sink(caller, tenant):
    body = {"tenant_id": str(tenant.id), "name": "n", "description": "", "event_sink_args": WEBHOOK}
    return caller.post("/v1/event_sink", body)


# --- What comes in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_alerts_over_the_rate_are_refused_and_pass_after_the_time_that_is_told(api, acme, limit, shared, request):
    if shared:
        request.getfixturevalue("shared_by_all")
    limit(acme, alerts_per_s=2)
    assert api.post(ALERTS, [ALERT] * 20).status_code == 200
    response = api.post(ALERTS, [ALERT] * 3)
    wait = limited(response, "alerts_per_s")
    assert wait <= 2
    message = response.json()["error"]["message"]
    assert "the limit alerts_per_s of 2 a second and 20 at once is reached" in message
    assert "3 more were asked for" in message
    time.sleep(wait)
    assert api.post(ALERTS, [ALERT] * 3).status_code == 200


def test_an_array_counts_as_many_and_is_taken_whole_or_not_at_all(api, acme, limit):
    limit(acme, alerts_per_s=1)
    assert api.post(ALERTS, [ALERT] * 8).status_code == 200
    limited(api.post(ALERTS, [ALERT] * 5), "alerts_per_s")
    assert Event.objects.filter(type="detection_alert").count() == 8
    ndjson = b'{"name": "n", "severity": "High"}\n' * 5
    limited(api.post(ALERTS, ndjson, content_type="application/x-ndjson"), "alerts_per_s")
    assert api.post(ALERTS, [ALERT] * 2).status_code == 200


def test_an_array_larger_than_the_burst_is_not_refused_for_ever(api, acme, limit):
    limit(acme, alerts_per_s=1)
    assert api.post(ALERTS, [ALERT] * 50).json()["data"]["accepted"] == 50
    assert limited(api.post(ALERTS, ALERT), "alerts_per_s") > 30


@pytest.mark.parametrize("path", [AUDIT, TRAFFIC])
def test_events_at_api_have_one_rate_of_their_own_and_are_refused_in_netbirds_shape(api, acme, limit, path):
    limit(acme, events_per_s=1, alerts_per_s=1)
    assert api.post(AUDIT, [audit(number) for number in range(10)]).status_code == 200
    limited_at_api(api.post(path, audit(11)), "events_per_s")
    assert api.post(ALERTS, ALERT).status_code == 200
    assert Event.objects.filter(type="audit").count() == 10


@pytest.mark.guarantee("S19")
def test_one_tenants_flood_refuses_nothing_of_another(api, globex_api, acme, limit):
    limit(acme, alerts_per_s=1)
    while api.post(ALERTS, ALERT).status_code == 200:
        pass
    assert globex_api.post(ALERTS, ALERT).status_code == 200


@pytest.mark.guarantee("S19")
def test_requests_of_any_kind_are_counted_once_the_key_is_known(api, nobody, operator_api, acme, limit):
    limit(acme, requests_per_s=1)
    answers = [api.get("/v1/event_sink") for _ in range(14)]
    assert {answer.status_code for answer in answers} == {200, 429}
    limited(answers[-1], "requests_per_s")
    limited_at_api(api.get("/api/event-streaming"), "requests_per_s")
    assert nobody.get("/v1/event_sink").status_code == 401
    assert {operator_api.get("/v1/tenant").status_code for _ in range(30)} == {200}


# --- What is made ----------------------------------------------------------------------------------


def test_event_sinks_over_the_limit_are_refused(api, globex_api, acme, globex, limit):
    limit(acme, event_sinks=1)
    assert create_sink(api, acme).status_code == 200
    response = create_sink(api, acme)
    limited(response, "event_sinks")
    assert "the limit event_sinks of 1 is reached: 1 are used" in response.json()["error"]["message"]
    assert Destination.objects.of(acme).count() == 1
    assert create_sink(globex_api, globex).status_code == 200


def test_integrations_over_the_limit_are_refused_before_anything_is_tried(api, acme, limit):
    limit(acme, integrations=0)
    with Receiver() as receiver:
        body = {"platform": "generic_http", "config": {"url": receiver.url()}, "enabled": True}
        limited_at_api(api.post("/api/event-streaming", body), "integrations")
        assert receiver.got == []


def test_silences_and_keys_over_the_limit_are_refused(api, operator_api, acme, limit):
    limit(acme, silences=0, api_keys=1)
    silence = {"reason": "r", "author": "a", "ends_at": write_time(timezone.now() + timedelta(hours=1))}
    limited(api.post("/v1/silence", silence), "silences")
    limited(operator_api.post("/v1/api_key", {"tenant_id": str(acme.id)}), "api_keys")


def test_replays_over_the_limit_are_refused_in_both_formats(api, acme, limit, make_webhook):
    limit(acme, replays_at_once=0)
    path = f"/v1/event_sink/{make_webhook().uuid}/replay"
    limited(api.post(path, {"since": "2020-01-01T00:00:00Z"}), "replays_at_once")
    assert api.post(path, {"since": "2020-01-01T00:00:00Z", "dry_run": True}).status_code == 200


def test_tests_and_trials_over_the_limit_are_refused_in_both_formats(api, acme, limit, make_webhook):
    limit(acme, tests_at_once=0)
    with Receiver() as receiver:
        sink = make_webhook(receiver.url())
        limited(api.post(f"/v1/event_sink/{sink.uuid}/test"), "tests_at_once")
        body = {"platform": "generic_http", "config": {"url": receiver.url()}, "enabled": True}
        limited_at_api(api.post("/api/event-streaming", body), "tests_at_once")
        made = api.post("/api/event-streaming", {**body, "enabled": False}).json()["id"]
        limited_at_api(api.put(f"/api/event-streaming/{made}", body), "tests_at_once")
        limited_at_api(api.post(f"/api/event-streaming/{made}/test"), "tests_at_once")
        assert receiver.got == []
        limit(acme, tests_at_once=1)
        assert api.post(f"/v1/event_sink/{sink.uuid}/test").json()["attempt"]["outcome"] == "delivered"


def test_installations_of_slack_over_the_limit_are_refused(api, acme, limit, settings):
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = "x"
    limit(acme, slack_installs_per_h=1)
    assert api.post("/v1/slack_integration/install").status_code == 200
    limited(api.post("/v1/slack_integration/install"), "slack_installs_per_h")


def test_slack_sends_a_browser_back_while_too_much_is_under_way_and_nothing_is_used_up(
    nobody, acme, limit, settings
):
    settings.SLACK_CLIENT_ID = settings.SLACK_CLIENT_SECRET = "x"
    state = install.begin_installation(acme)
    cookie = slack_state.make_cookie(state)
    nobody.client.cookies[cookie["key"]] = cookie["value"]
    limit(acme, tests_at_once=0)
    response = nobody.get(f"/slack/oauth/callback?{urlencode({'state': state, 'code': 'c'})}")
    assert response.status_code == 429
    assert seconds(response)
    assert "limit tests_at_once of 0 is reached" in response.content.decode()
    assert slack_state.find_install(state).tenant == acme


def test_a_full_backlog_is_told_in_the_answer_that_takes_the_alert(api, acme, limit, make_webhook):
    limit(acme, pending_per_sink=1)
    make_webhook()
    answers = [api.post(ALERTS, ALERT).json()["detection_alert"] for _ in range(2)]
    assert [(one["deliveries"], one.get("backlog_full")) for one in answers] == [(1, None), (0, 1)]
    assert api.post(ALERTS, [ALERT] * 3).json()["data"]["backlog_full"] == 3


# --- Seeing and setting them -----------------------------------------------------------------------


def test_a_tenant_sees_its_limits_and_what_it_uses(api, acme, limit, make_webhook):
    limit(acme, event_sinks=1, alerts_per_s=3)
    make_webhook()
    limited(create_sink(api, acme), "event_sinks")
    api.post(ALERTS, [ALERT] * 12)
    found = api.get("/v1/usage").json()["usage"]
    assert tuple(found["limits"]) == NAMES
    sinks, alerts = found["limits"]["event_sinks"], found["limits"]["alerts_per_s"]
    what = TenantLimits.model_fields["event_sinks"].description
    assert sinks == {"limit": 1, "used": 1, "refused": 1, "per_seconds": None, "burst": None, "what": what}
    assert (alerts["limit"], alerts["per_seconds"], alerts["burst"], alerts["refused"]) == (3, 1, 30, 0)
    assert 9 <= alerts["used"] <= 12
    assert found["refused_since"]


def test_the_usage_is_of_the_keys_tenant_and_needs_a_scope_that_reads(globex_api, acme, limit):
    limit(acme, event_sinks=1)
    assert globex_api.get("/v1/usage").json()["usage"]["limits"]["event_sinks"]["limit"] == 100
    other = Caller(issue_key(acme, scopes=["detection_alert:write"])[1])
    says(other.get("/v1/usage"), 403, "event_sink:read")


def test_an_operator_sets_and_takes_away_the_limits_of_a_tenant(operator_api, api, acme):
    path = f"/v1/tenant/{acme.id}"
    told = operator_api.put(path, {"limits": {"event_sinks": 5, "alerts_per_s": 7}}).json()["tenant"]
    assert told["own_limits"] == {"alerts_per_s": 7, "event_sinks": 5}
    assert (told["limits"]["event_sinks"], told["limits"]["silences"]) == (5, 500)
    assert api.get("/v1/usage").json()["usage"]["limits"]["event_sinks"]["limit"] == 5
    told = operator_api.put(path, {"limits": {"event_sinks": None}, "name": "New"}).json()["tenant"]
    assert (told["own_limits"], told["name"]) == ({"alerts_per_s": 7}, "New")
    assert operator_api.get(path).json()["tenant"] == told
    made = operator_api.post("/v1/tenant", {"name": "x", "limits": {"silences": 3, "event_sinks": None}}).json()
    assert Tenant.objects.get(id=made["tenant"]["id"]).own_limits == {"silences": 3}


@pytest.mark.parametrize(
    "limits",
    [{"nonsense": 3}, {"event_sinks": -1}, {"event_sinks": True}, {"event_sinks": "3"}, {"alerts_per_s": 0}, []],
)
def test_what_is_no_limit_is_not_set(operator_api, acme, limits):
    error = says(operator_api.put(f"/v1/tenant/{acme.id}", {"limits": limits}), 400)
    assert error["fields"][0]["field"].startswith("limits")
    acme.refresh_from_db()
    assert acme.own_limits == {}


def test_a_tenant_sets_no_limits(api, acme):
    assert api.put(f"/v1/tenant/{acme.id}", {"limits": {"event_sinks": 5}}).status_code == 403


@pytest.mark.guarantee("O1")
def test_a_refusal_is_counted_by_the_name_of_the_limit_and_is_in_the_log(api, acme, limit, caplog):
    before = REGISTRY.get_sample_value("eventsinks_refused_total", {"limit": "event_sinks"}) or 0
    limit(acme, event_sinks=0)
    for _ in range(3):
        create_sink(api, acme)
    assert REGISTRY.get_sample_value("eventsinks_refused_total", {"limit": "event_sinks"}) == before + 3
    lines = [line for line in caplog.messages if line.startswith("limit.reached limit=event_sinks")]
    assert len(lines) == 1  # the others come together, some seconds later
    assert str(acme.id) in lines[0]


# --- Wrong keys ------------------------------------------------------------------------------------


def knock(key, address="192.0.2.1", path="/v1/event_sink"):
    return Caller(key).client.get(path, headers={"Authorization": f"Bearer {key}"}, REMOTE_ADDR=address)


def wrong_key(number):
    return f"es_{number:043d}"


@pytest.fixture
def spent(settings, db):
    """An address from which as many wrong keys came as may."""
    settings.EVENTSINKS_WRONG_KEYS_PER_MIN = 3
    for number in range(3):
        assert knock(wrong_key(number)).status_code == 401
    return "192.0.2.1"


@pytest.mark.parametrize("shared", [True, False])
def test_too_many_wrong_keys_slow_their_address_and_no_valid_key(settings, acme_key, shared, request):
    if shared:
        request.getfixturevalue("shared_by_all")
    spent = request.getfixturevalue("spent")
    response = knock(wrong_key(9), spent)
    assert says(response, 429, "too many wrong API keys")["code"] == "too_many_wrong_keys"
    assert 1 <= seconds(response) <= 20
    assert knock(wrong_key(10), spent, "/api/event-streaming").json()["code"] == 429
    assert seconds(knock(wrong_key(11), spent, "/api/event-streaming")) >= 1
    for _ in range(5):
        assert knock(acme_key, spent).status_code == 200
    assert knock(wrong_key(9), "192.0.2.2").status_code == 401


def test_a_key_that_is_issued_later_is_found(spent, acme):
    assert knock(issue_key(acme)[1], spent).status_code == 200


def test_a_revoked_key_is_a_wrong_one(settings, acme):
    settings.EVENTSINKS_WRONG_KEYS_PER_MIN = 1
    key, text = issue_key(acme)
    key.delete()
    assert [knock(text).status_code for _ in range(2)] == [401, 429]


def test_what_can_be_no_key_or_was_just_found_to_be_none_is_not_looked_up(spent, django_assert_num_queries):
    knock(KEY)
    with django_assert_num_queries(0):
        knock(KEY), knock("nonsense"), knock("x" * 10_000), knock("es_" + "é" * 43)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "nonsense", True),
    ],
)
def test_who_an_address_stands_for(one, other, same):
    assert (wrong_keys.get_source(one) == wrong_keys.get_source(other)) is same


def test_of_wrong_keys_so_many_are_remembered_and_no_more(db):
    for number in range(wrong_keys.KNOWN + 50):
        wrong_keys.note_wrong_key(wrong_key(number), "192.0.2.1")
    assert len(wrong_keys._known) == wrong_keys.KNOWN


def test_wrong_keys_are_counted(db):
    before = REGISTRY.get_sample_value("eventsinks_wrong_keys_total")
    knock(KEY)
    assert REGISTRY.get_sample_value("eventsinks_wrong_keys_total") == before + 1
