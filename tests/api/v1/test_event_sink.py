"""Event sinks over /v1, in Scanner's format: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import json
import logging
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from eventsinks.actions import configure
from eventsinks.models import Delivery, Destination
from tests.api.conftest import fields_of, says

pytestmark = pytest.mark.django_db

FILES = Path(__file__).parents[2] / "golden"
GOLDEN = sorted((FILES / "event_sink").glob("*.json"))
DEFAULTS = json.loads((FILES / "defaults/event_sink.json").read_text())
SECRET = "not-to-be-seen-by-anybody"
KEY = "0123456789abcdef0123456789abcdef"
WATCH: dict[str, Any] = {"name": "Night watch", "description": "Where the night watch looks first"}


@pytest.fixture
def create(api, acme):
    """Return the answer to the creation of an event sink with these arguments."""

    def send(args, **fields):
        body = {"tenant_id": str(acme.id), "name": "sink", "description": "", "event_sink_args": args, **fields}
        return api.post("/v1/event_sink", body)

    return send


@pytest.fixture
def update(api):
    """Return the answer to an update of `sink` with these fields."""

    def send(sink, **fields):
        return api.put(f"/v1/event_sink/{sink.uuid}", fields)

    return send


def webhook(**fields):
    return {"Webhook": {"url": "https://example.com/hook", **fields}}


def opened(sink):
    """Return the config that the engine would use."""
    return Destination.objects.get(id=sink.id).opened_config().dump_revealed()


# --- The wire, to the letter -----------------------------------------------------------------------


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_wire_is_as_written_down(path, api, acme, make_workspace):
    example = json.loads(path.read_text(), object_hook=with_defaults)
    names = {"$TENANT": str(acme.id)}
    if "slack" in path.stem:
        names["$WORKSPACE"] = str(make_workspace().id)
    configs = {
        "webhook": {"url": "https://hooks.example.com/alerts/night"},
        "pagerduty": {"integration_key": KEY},
        "slack": {"slack_integration_id": names.get("$WORKSPACE"), "channel_id": "C0NIGHT01"},
    }
    if example["given"]:
        names["$ID"] = str(configure.create(acme, example["given"], configs[example["given"]], **WATCH).uuid)
    request = filled(example["request"], names)
    response = api.send(request["method"], request["path"], request.get("body", b""))
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    answer = response.json()
    names.setdefault("$ID", answer.get("event_sink", {}).get("id"))
    uuid.UUID(names["$ID"])
    assert timeless(answer) == filled(example["response"], names)


def with_defaults(found):
    """Return a part of a golden file: where it is an event sink, with what the file need not say."""
    return DEFAULTS | found if "event_sink_type" in found else found


def filled(value, names):
    """Return `value` with each name in it replaced."""
    text = json.dumps(value)
    for name, meaning in names.items():
        text = text.replace(name, meaning)
    return json.loads(text)


def timeless(value):
    """Return `value` with each time that is one, in UTC and RFC 3339, as `$TIME`."""
    return json.loads(re.sub(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"', '"$TIME"', json.dumps(value)))


# --- Lists -----------------------------------------------------------------------------------------


def test_a_list_speaks_both_editions_at_once(api, make_webhook):
    make_webhook()
    answer = api.get("/v1/event_sink").json()
    assert answer["event_sinks"] == answer["data"]["event_sinks"]
    assert len(answer["event_sinks"]) == 1
    assert answer["pagination"] is None


@pytest.mark.parametrize("upper", [False, True])
def test_the_tenant_may_be_in_the_query_in_the_body_or_absent(api, acme, make_webhook, upper):
    make_webhook()
    id = str(acme.id).upper() if upper else str(acme.id)
    answers = [
        api.get(f"/v1/event_sink?tenant_id={id}"),
        api.get("/v1/event_sink", body={"tenant_id": id}),
        api.get("/v1/event_sink?tenant_id="),
        api.get("/v1/event_sink"),
        api.get("/v1/event_sink", content_type=""),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(answer.content == answers[0].content for answer in answers)


@pytest.mark.parametrize("tenant_id", ["globex", "unknown", "not a UUID", "\0", "é"])
def test_the_list_of_any_other_tenant_is_not_found(api, globex, make_webhook, tenant_id):
    make_webhook(tenant=globex, name="Globex's")
    asked = {"globex": str(globex.id), "unknown": str(uuid.uuid4())}.get(tenant_id, tenant_id)
    for response in (
        api.get(f"/v1/event_sink?tenant_id={quote(asked)}"),
        api.get("/v1/event_sink", body={"tenant_id": asked}),
    ):
        assert response.status_code in ((404, 400) if tenant_id == "\0" else (404,)), response.content
        assert b"Globex" not in response.content


@pytest.mark.parametrize(
    "body", [{"tenant_id": 5}, {"tenant_id": ["x"]}, {"pagination": "x"}, {"pagination": {"page_size": 0}}]
)
def test_a_list_that_is_asked_for_wrongly_names_the_field(api, body):
    response = api.get("/v1/event_sink", body=body)
    says(response, 400)
    assert fields_of(response)[0].startswith(next(iter(body)))


@pytest.mark.guarantee("O8")
@pytest.mark.parametrize(
    ("first", "next_page"),
    [
        ("page_size=2", "page_size=2&page_token={}"),
        ("page_size=2&page_token=", "page_size=2&page_token={}"),
        ("pagination[page_size]=2&pagination[page_token]=", "pagination[page_size]=2&pagination[page_token]={}"),
        ("pagination%5Bpage_size%5D=2", "pagination%5Bpage_size%5D=2&pagination%5Bpage_token%5D={}"),
    ],
)
def test_paging_sees_each_sink_once(api, make_webhook, first, next_page):
    names = {make_webhook().name for _ in range(5)}
    seen, query = [], first
    while query:
        page = api.get(f"/v1/event_sink?{query}").json()
        assert len(page["event_sinks"]) <= 2
        seen += [sink["name"] for sink in page["data"]["event_sinks"]]
        token = page["pagination"]["next_page_token"]
        query = token and next_page.format(token)
    assert len(seen) == 5
    assert set(seen) == names


def test_paging_works_from_a_body_too(api, make_webhook):
    for _ in range(3):
        make_webhook()
    page = api.get("/v1/event_sink", body={"pagination": {"page_size": 2, "page_token": None}}).json()
    rest = {"page_size": 2, "page_token": page["pagination"]["next_page_token"]}
    last = api.get("/v1/event_sink", body={"pagination": rest}).json()
    assert len(page["event_sinks"]) + len(last["event_sinks"]) == 3
    assert last["pagination"] == {"next_page_token": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=2&page_size=2", "page_size"),
        ("pagination[page_size]=2&pagination[page_size]=3", "pagination[page_size]"),
        ("page_size=-1", "page_size"),
        ("page_token=x", "page_token"),
        ("page_token=%C3%A9", "page_token"),
        ("page_token=%00", "page_token"),
        ("page_token=bnVsbA", "page_token"),  # null
        ("page_token=LTE", "page_token"),  # -1
        ("page_token=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "page_token"),  # beyond 64 bits
        ("page_token=" + "x" * 5000, "page_token"),
        ("pagination[page_size]=x", "pagination.page_size"),
    ],
)
def test_a_page_that_can_not_be_is_refused_at_its_field(api, query, field):
    response = api.get(f"/v1/event_sink?{query}")
    says(response, 400)
    assert fields_of(response) == [field]


def test_a_token_of_another_list_is_refused(api, make_webhook, make_alert):
    for _ in range(2):
        make_webhook()
    make_alert()
    of_deliveries = api.get("/v1/delivery?page_size=1").json()["pagination"]["next_page_token"]
    response = api.get(f"/v1/event_sink?page_token={of_deliveries}")
    says(response, 400)
    assert fields_of(response) == ["page_token"]
    of_sinks = api.get("/v1/event_sink?page_size=1").json()["pagination"]["next_page_token"]
    says(api.get(f"/v1/delivery?page_token={of_sinks}"), 400)


@pytest.mark.parametrize("query", ["pagination=1&pagination[page_size]=2", "pagination[page_size]=2&pagination=1"])
def test_a_query_that_says_pagination_twice_is_no_fault_of_the_server(api, query):
    assert api.get(f"/v1/event_sink?{query}").status_code in (200, 400)


# --- Secrets ---------------------------------------------------------------------------------------


def test_no_answer_no_log_and_no_column_ever_holds_a_secret(api, acme, create, make_workspace, caplog):
    caplog.set_level(logging.DEBUG)
    workspace = make_workspace(token=f"xoxb-{SECRET}")
    answers = [
        create(webhook(headers={"Authorization": f"Bearer {SECRET}", "X-Key": SECRET})),
        create({"PagerDuty": {"integration_key": KEY}}),
        create({"Slack": {"slack_integration_id": str(workspace.id), "channel_id": "C1"}}),
    ]
    ids = [answer.json()["event_sink"]["id"] for answer in answers]
    for id in ids:
        answers += [api.get(f"/v1/event_sink/{id}"), api.put(f"/v1/event_sink/{id}", {"name": "new"})]
        answers += [api.post(f"/v1/event_sink/{id}/pause"), api.post(f"/v1/event_sink/{id}/resume")]
    answers += [api.get("/v1/event_sink")]
    # Wrong ones are not repeated either.
    answers += [
        create(webhook(headers={"X-Key": f"{SECRET}\r\nX-Other: 1"})),
        create(webhook(headers={"X-Key": {"nested": SECRET}})),
        create(webhook(headers=[SECRET])),
        create(webhook(headers={"Host": SECRET})),
        create({"PagerDuty": {"integration_key": f"{KEY}-{SECRET}"}}),
        create({"PagerDuty": {"integration_key": [SECRET]}}),
        create({"Webhook": {"url": f"https://user:{SECRET}@example.com/"}}),
        api.put(f"/v1/event_sink/{ids[0]}", {"event_sink_args": webhook(headers={"X-Key": f"{SECRET}\n"})}),
    ]
    assert [answer.status_code for answer in answers[-8:]] == [400] * 8
    answers += [api.delete(f"/v1/event_sink/{id}") for id in ids]
    for answer in answers:
        assert SECRET not in answer.content.decode()
        assert KEY not in answer.content.decode()
    assert SECRET not in caplog.text
    assert KEY not in caplog.text
    rows = str(list(Destination.objects.filter(tenant=acme).values()))
    assert SECRET not in rows
    assert KEY not in rows


def test_a_header_that_is_shown_masked_and_sent_back_stays_as_it_was(api, create, update):
    id = create(webhook(headers={"X-Key": SECRET, "X-Other": "old"})).json()["event_sink"]["id"]
    sink = Destination.objects.get(uuid=id)
    shown = api.get(f"/v1/event_sink/{id}").json()["event_sink"]["configuration"]
    assert shown["Webhook"]["headers"] == {"X-Key": "****", "X-Other": "****"}
    shown["Webhook"]["headers"]["X-Other"] = "new"
    answer = update(sink, event_sink_args=shown)
    assert answer.json()["event_sink"]["configuration"]["Webhook"]["headers"] == {
        "X-Key": "****",
        "X-Other": "****",
    }
    assert opened(sink)["headers"] == {"X-Key": SECRET, "X-Other": "new"}


def test_a_mask_where_nothing_was_is_refused(create, update, make_webhook):
    for response in (
        create(webhook(headers={"X-Key": "****"})),
        update(make_webhook(), event_sink_args=webhook(headers={"X-Key": "****"})),
        create({"PagerDuty": {"integration_key": "****"}}),
    ):
        says(response, 400)
        assert fields_of(response)[0].startswith("event_sink_args.")


def test_a_masked_integration_key_stays_as_it_was(update, make_pagerduty):
    sink = make_pagerduty(KEY)
    assert update(sink, event_sink_args={"PagerDuty": {"integration_key": "****"}}).status_code == 200
    assert opened(sink) == {"integration_key": KEY}


def test_the_signing_secret_is_shown_where_it_is_asked_for_and_nowhere_else(api, make_webhook):
    sink = make_webhook()
    secret = api.get(f"/v1/event_sink/{sink.uuid}/signing_secret").json()["signing_secret"]
    assert secret == sink.signing_secret
    assert secret.startswith("whsec_")
    assert secret not in api.get(f"/v1/event_sink/{sink.uuid}").content.decode()
    assert secret not in api.get("/v1/event_sink").content.decode()


# --- Updates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{}, {"name": None, "description": None, "event_sink_args": None, "enabled": None, "id": None}],
    ids=["absent", "null"],
)
def test_what_is_absent_or_null_stays(update, make_webhook, fields):
    sink = make_webhook(name="Kept", description="too", config={"headers": {"X-Key": SECRET}})
    answer = update(sink, **fields).json()["event_sink"]
    assert (answer["name"], answer["description"], answer["enabled"]) == ("Kept", "too", True)
    assert opened(sink)["headers"] == {"X-Key": SECRET}


def test_each_field_changes_by_itself(update, make_webhook):
    sink = make_webhook(name="old", description="old", config={"headers": {"X-Key": SECRET}})
    assert update(sink, name="new").json()["event_sink"]["name"] == "new"
    assert update(sink, description="").json()["event_sink"]["description"] == ""
    answer = update(sink, event_sink_args={"Webhook": {"url": "https://example.com/new"}}).json()["event_sink"]
    assert answer["name"] == "new"
    assert answer["configuration"]["Webhook"]["headers"] == {"X-Key": "****"}
    assert opened(sink) == {
        "url": "https://example.com/new",
        "headers": {"X-Key": SECRET},
        "webhook_type": "Other",
    }


@pytest.mark.parametrize(
    "headers", [{}, {"headers": {"X-Key": "****"}}, {"headers": {"X-Key": "****", "X-New": "x"}}]
)
def test_another_origin_needs_the_headers_again(update, make_webhook, headers):
    sink = make_webhook(config={"headers": {"X-Key": SECRET}})
    before = Destination.objects.values().get()
    for url in ("https://new.example.com/hook", "http://example.com/hook", "https://example.com:8443/hook"):
        answer = update(sink, event_sink_args={"Webhook": {"url": url, **headers}})
        assert answer.status_code == 400
        assert answer.json()["error"]["fields"][0]["field"] == "event_sink_args.Webhook.headers"
    assert Destination.objects.values().get() == before
    given = {"url": "https://new.example.com/hook", "headers": {"X-Key": "again"}}
    assert update(sink, event_sink_args={"Webhook": given}).status_code == 200


def test_a_token_in_a_url_is_masked_sealed_and_kept(update, make_webhook):
    sink = make_webhook(url=f"https://example.com/hook?a=1&token={SECRET}")
    shown = update(sink, name="n").json()["event_sink"]["configuration"]["Webhook"]["url"]
    assert shown == "https://example.com/hook?a=1&token=****"
    assert SECRET not in str(Destination.objects.values().get())
    update(sink, event_sink_args={"Webhook": {"url": shown.replace("a=1", "a=2")}})
    assert opened(sink)["url"] == f"https://example.com/hook?a=2&token={SECRET}"
    elsewhere = shown.replace("example.com", "evil.example")
    assert update(sink, event_sink_args={"Webhook": {"url": elsewhere}}).status_code == 400


def test_null_takes_an_optional_argument_away(update, make_webhook):
    sink = make_webhook(config={"headers": {"X-Key": SECRET}, "webhook_type": "Torq"})
    answer = update(sink, event_sink_args={"Webhook": {"headers": None, "webhook_type": None}}).json()[
        "event_sink"
    ]
    assert answer["configuration"] == {"Webhook": {"url": "https://example.com/hook", "webhook_type": "Other"}}


def test_enabled_pauses_and_resumes(update, make_webhook):
    sink = make_webhook()
    assert update(sink, enabled=False).json()["event_sink"]["state"] == "paused"
    assert update(sink, name="still paused").json()["event_sink"]["state"] == "paused"
    assert update(sink, enabled=True).json()["event_sink"]["state"] == "active"


def test_an_update_shows_when_it_was_made(api, update, make_webhook):
    sink = make_webhook()
    before = api.get(f"/v1/event_sink/{sink.uuid}").json()["event_sink"]
    Destination.objects.update(created_at="2024-01-01T00:00:00Z", updated_at="2024-01-01T00:00:00Z")
    after = update(sink, name="new").json()["event_sink"]
    assert after["created_at"] == "2024-01-01T00:00:00Z"
    assert after["updated_at"] >= before["updated_at"]


def test_an_update_that_is_refused_changes_nothing(update, make_webhook):
    sink = make_webhook(name="Kept")
    before = Destination.objects.filter(id=sink.id).values().get()
    says(update(sink, name="new", event_sink_args={"Webhook": {"url": "ftp://example.com/"}}), 400)
    assert Destination.objects.filter(id=sink.id).values().get() == before


def test_the_id_in_the_body_is_the_one_in_the_path_or_it_is_refused(update, make_webhook):
    sink, other = make_webhook(), make_webhook(name="other")
    assert update(sink, id=str(sink.uuid).upper(), name="new").status_code == 200
    for id in (str(other.uuid), "x", ""):
        response = update(sink, id=id, name="newer")
        says(response, 400)
        assert fields_of(response) == ["id"]
    assert sorted(Destination.objects.values_list("name", flat=True)) == ["new", "other"]


def test_a_sink_keeps_its_type(update, make_webhook):
    response = update(make_webhook(), event_sink_args={"PagerDuty": {"integration_key": KEY}})
    says(response, 400, "this event sink is a Webhook")
    assert fields_of(response) == ["event_sink_args.PagerDuty"]


def test_a_sink_that_vanishes_in_the_middle_of_its_update_is_not_found(api, make_webhook, monkeypatch):
    sink = make_webhook()
    from eventsinks.api.v1 import event_sink

    def find_and_lose(rows, id, field="pk"):
        found = rows.get(uuid=id)
        configure.delete(found)
        return found

    monkeypatch.setattr(event_sink, "find_row", find_and_lose)
    says(api.put(f"/v1/event_sink/{sink.uuid}", {"name": "new"}), 404)


# --- Slack -----------------------------------------------------------------------------------------


def test_naming_a_channel_forgets_the_one_before(update, make_slack):
    sink = make_slack(channel_id="C1")
    by_name = update(sink, event_sink_args={"Slack": {"channel": "#alerts"}}).json()["event_sink"]
    assert by_name["configuration"] == {"Slack": {"channel_id": "", "channel_name": "alerts"}}
    by_id = update(sink, event_sink_args={"Slack": {"channel_id": "C2", "channel": None}}).json()["event_sink"]
    assert by_id["configuration"] == {"Slack": {"channel_id": "C2", "channel_name": ""}}
    both = update(sink, event_sink_args={"Slack": {"channel_id": "C3", "channel": "c3"}}).json()["event_sink"]
    assert both["configuration"] == {"Slack": {"channel_id": "C3", "channel_name": "c3"}}
    assert opened(sink)["slack_integration_id"] == by_id["integration_id"]


def test_an_oauth_code_on_a_server_without_a_slack_app_is_refused_with_the_reason(create):
    response = create({"Slack": {"channel": "#security-alerts", "slack_oauth_code": f"code-{SECRET}"}})
    says(response, 400, "SLACK_CLIENT_ID")
    assert fields_of(response) == ["event_sink_args.Slack.slack_oauth_code"]
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slack_integration_id": None}, "slack_integration_id"),
        ({"slack_integration_id": "x"}, "slack_integration_id"),
        ({"slack_integration_id": 5}, "slack_integration_id"),
        ({"slack_integration_id": ["x"]}, "slack_integration_id"),
        ({"slack_integration_id": {}}, "slack_integration_id"),
        ({"slack_integration_id": "00000000-0000-0000-0000-000000000001"}, "slack_integration_id"),
        ({"channel_id": 5}, "channel_id"),
        ({"channel_id": "#x"}, "channel_id"),
        ({"channel_id": "C" * 81}, "channel_id"),
        ({"channel_id": None}, ""),
        ({"channel_id": ""}, ""),
        ({"channel": 5}, "channel"),
        ({"channel": ["x"]}, "channel"),
        ({"channel": "two words"}, "channel"),
        ({"channel": "x" * 81}, "channel"),
        ({"surprise": "x"}, "surprise"),
    ],
)
def test_wrong_slack_arguments_are_refused_at_their_field(create, make_workspace, change, field):
    workspace = make_workspace()
    response = create({"Slack": {"slack_integration_id": str(workspace.id), "channel_id": "C1", **change}})
    says(response, 400)
    assert fields_of(response) == [f"event_sink_args.Slack.{field}".rstrip(".")]


def test_another_tenants_slack_integration_is_as_if_it_were_not_there(
    create, update, globex, make_slack, make_workspace
):
    theirs = make_workspace(tenant=globex, token=SECRET)
    none = create({"Slack": {"slack_integration_id": str(uuid.uuid4()), "channel_id": "C1"}})
    foreign = create({"Slack": {"slack_integration_id": str(theirs.id), "channel_id": "C1"}})
    says(foreign, 400, "no such Slack integration")
    assert foreign.json() == none.json()
    sink = make_slack()
    says(update(sink, event_sink_args={"Slack": {"slack_integration_id": str(theirs.id)}}), 400)
    assert Destination.objects.get(id=sink.id).slack_workspace.tenant != globex


def test_a_token_in_the_arguments_is_not_taken(create, make_workspace):
    workspace = make_workspace(token="xoxb-the-installed-one")
    args = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "token": "xoxb-mine"}
    response = create({"Slack": args})
    if response.status_code == 200:
        sink = Destination.objects.get(uuid=response.json()["event_sink"]["id"])
        assert sink.opened_config().token.get_secret_value() == "xoxb-the-installed-one"


# --- What is no event sink -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (None, "event_sink_args"),
        ([], "event_sink_args"),
        ("Webhook", "event_sink_args"),
        (5, "event_sink_args"),
        ({}, "event_sink_args"),
        ({"Webhook": {"url": "https://example.com/"}, "PagerDuty": {"integration_key": KEY}}, "event_sink_args"),
        ({"webhook": {"url": "https://example.com/"}}, "event_sink_args.webhook"),
        ({"Carrier": {}}, "event_sink_args.Carrier"),
        ({"": {}}, "event_sink_args."),
        ({"Webhook": None}, "event_sink_args.Webhook"),
        ({"Webhook": []}, "event_sink_args.Webhook"),
        ({"Webhook": "https://example.com/"}, "event_sink_args.Webhook"),
        ({"Webhook": {}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": None}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": 5}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": ["https://example.com/"]}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": ""}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": "https://example.com/" + "x" * 2000}}, "event_sink_args.Webhook.url"),
        (webhook(webhook_type="torq"), "event_sink_args.Webhook.webhook_type"),
        (webhook(webhook_type=None), "event_sink_args.Webhook.webhook_type"),
        (webhook(headers=[]), "event_sink_args.Webhook.headers"),
        (webhook(headers={"X": 5}), "event_sink_args.Webhook.headers.X"),
        (webhook(headers={"X": None}), "event_sink_args.Webhook.headers.X"),
        (webhook(surprise=1), "event_sink_args.Webhook.surprise"),
        ({"PagerDuty": None}, "event_sink_args.PagerDuty"),
        ({"PagerDuty": {}}, "event_sink_args.PagerDuty.integration_key"),
        ({"PagerDuty": {"integration_key": None}}, "event_sink_args.PagerDuty.integration_key"),
        ({"PagerDuty": {"integration_key": "short"}}, "event_sink_args.PagerDuty.integration_key"),
        ({"Slack": {}}, "event_sink_args.Slack.slack_integration_id"),
    ],
)
def test_arguments_that_are_not_of_exactly_one_type_are_refused_at_their_field(create, args, field):
    response = create(args)
    says(response, 400)
    assert fields_of(response)[0] == field
    assert not Destination.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "😀" * 201}, "name"),
        ({"description": None}, "description"),
        ({"description": 5}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"enabled": None}, "enabled"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"tenant_id": None}, "tenant_id"),
        ({"tenant_id": 5}, "tenant_id"),
    ],
)
def test_wrong_fields_are_refused_by_name(create, change, field):
    response = create(webhook(), **change)
    says(response, 400)
    assert fields_of(response) == [field]
    assert not Destination.objects.exists()


def test_every_field_that_is_missing_is_named_at_once(api):
    response = api.post("/v1/event_sink", {})
    says(response, 400)
    assert fields_of(response) == ["tenant_id", "name", "description", "event_sink_args"]


@pytest.mark.parametrize("tenant_id", ["globex", "unknown", "x"])
def test_nothing_is_created_for_another_tenant(create, globex, tenant_id):
    asked = {"globex": str(globex.id), "unknown": str(uuid.uuid4())}.get(tenant_id, tenant_id)
    says(create(webhook(), tenant_id=asked), 404)
    assert not Destination.objects.exists()


def test_the_longest_and_strangest_names_come_back_as_they_went_in(api, create):
    for name, description in [
        ("😀" * 200, "é" * 10_000),
        ("\u202eevil", "a\nb\t"),
        ("<script>", "'; DROP TABLE"),
        (" ", ""),
    ]:
        id = create(webhook(), name=name, description=description).json()["event_sink"]["id"]
        sink = api.get(f"/v1/event_sink/{id}").json()["event_sink"]
        assert (sink["name"], sink["description"]) == (name, description)


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a\\u0000b"}',
        b'{"a\\u0000b": 1}',
        b'{"name": "\\\\\\u0000"}',
        b'{"name": "a\x00b"}',
    ],
)
def test_a_nul_is_refused_wherever_it_stands(api, body):
    says(api.post("/v1/event_sink", body), 400, "couldn't parse JSON request")


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"Webhook": {"url": "https://example.com/\0"}}, "event_sink_args.Webhook.url"),
        ({"Webhook": {"url": "https://e.co/", "headers": {"X": "\0"}}}, "event_sink_args.Webhook.headers.X"),
        (
            {"Webhook": {"url": "https://e.co/", "headers": {"\0": "x"}}},
            "event_sink_args.Webhook.headers.\\u0000",
        ),
        ({"Email": {"to": ["a@example.com", "\0"]}}, "event_sink_args.Email.to.1"),
        ({"Jira": {"issue_type": "\0"}}, "event_sink_args.Jira.issue_type"),
    ],
)
def test_a_nul_is_refused_at_its_field(create, args, field):
    refused = create(args)
    says(refused, 400, "must not contain NUL characters")
    assert fields_of(refused) == [field]


def test_an_escaped_backslash_before_u0000_is_no_nul(create):
    response = create(webhook(), name=r"a\u0000b")
    assert response.json()["event_sink"]["name"] == r"a\u0000b"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"{} {}",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_is_no_json_object_is_refused_with_where_it_is_wrong(api, make_webhook, method, body):
    sink = make_webhook()
    path = "/v1/event_sink" if method == "POST" else f"/v1/event_sink/{sink.uuid}"
    response = api.send(method, path, body)
    if method == "PUT" and not body:
        assert response.status_code == 200  # nothing changes
    else:
        says(response, 400)
    assert Destination.objects.count() == 1


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"]
)
def test_what_is_not_sent_as_json_is_not_read(api, content_type):
    says(api.post("/v1/event_sink", b'{"name": "x"}', content_type=content_type), 415)


def test_a_body_beyond_the_limit_is_too_large(api, settings):
    settings.EVENTSINKS_MAX_BODY_BYTES = 1000
    says(api.post("/v1/event_sink", b" " * 1001), 413, "1000")


# --- Addresses -------------------------------------------------------------------------------------

INTERNAL = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://127.0.0.1./",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[fd00:ec2::254]/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://metadata.google.internal/",
    "HTTP://127.0.0.1:8080/",
    "http:///127.0.0.1/",
]
NO_URLS = [
    "https://user:password@example.com/",
    "https://user@example.com/",
    "https://@example.com/",
    "https://:@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/ x",
    "https://example.com/\tx",
    "https://exam\nple.com/",
    " https://example.com/",
    "https://example.com:80:80/",
    "https://example.com:99999/",
    "https://",
    "//example.com/",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "javascript:alert(1)",
    "https:example.com",
]


@pytest.mark.guarantee("S3")
@pytest.mark.parametrize("url", INTERNAL)
def test_an_internal_address_is_refused_however_it_is_spelled(create, update, make_webhook, settings, url):
    settings.EVENTSINKS_ALLOWED_NETWORKS = []
    sink = make_webhook()
    for response in (create({"Webhook": {"url": url}}), update(sink, event_sink_args={"Webhook": {"url": url}})):
        says(response, 400)
        assert fields_of(response) == ["event_sink_args.Webhook.url"]
    assert opened(sink)["url"] == "https://example.com/hook"


@pytest.mark.parametrize(
    ("url", "says_why"),
    [
        ("http://example.com/", "only https:// is allowed here"),
        ("https://example.com:6379/", "port 6379 may not be dialled"),
    ],
)
def test_the_operators_rules_are_told_with_their_field(create, update, make_webhook, settings, url, says_why):
    settings.EVENTSINKS_HTTPS_ONLY = True
    sink = make_webhook()
    for response in (create({"Webhook": {"url": url}}), update(sink, event_sink_args={"Webhook": {"url": url}})):
        says(response, 400)
        assert fields_of(response) == ["event_sink_args.Webhook.url"]
        assert says_why in response.content.decode()


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_plain_web_address_is_refused(create, url):
    response = create({"Webhook": {"url": url}})
    says(response, 400)
    assert fields_of(response) == ["event_sink_args.Webhook.url"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8443/a?b=c#d",
        "https://xn--bcher-kva.example/",
        "https://1.1.1.1/",
    ],
)
def test_a_public_address_is_shown_as_it_was_given(create, url):
    assert create({"Webhook": {"url": url}}).json()["event_sink"]["configuration"]["Webhook"]["url"] == url


def test_an_address_with_other_letters_is_shown_as_it_is_sent_and_is_no_new_place(create, api):
    made = create({"Webhook": {"url": "https://bücher.example/hööks?team=Zürich", "headers": {"X-Key": "k"}}})
    sink = made.json()["event_sink"]
    shown = "https://xn--bcher-kva.example/h%C3%B6%C3%B6ks?team=Z%C3%BCrich"
    assert sink["configuration"]["Webhook"]["url"] == shown
    changed = api.put(
        f"/v1/event_sink/{sink['id']}", {"event_sink_args": {"Webhook": {"url": "https://BÜCHER.example/ü"}}}
    )
    assert changed.status_code == 200, changed.content
    assert (
        changed.json()["event_sink"]["configuration"]["Webhook"]["url"] == "https://xn--bcher-kva.example/%C3%BC"
    )


# --- Headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Key", "a\r\nX-Evil: 1"),
        ("X-Key", "a\nb"),
        ("X-Key", "a\rb"),
        ("X-Key", "a\x0bb"),
        ("X-Key", "a\x7fb"),
        ("X-Key", "snow ☃"),
        ("X-Key", "x" * 8001),
        ("X-Evil: 1\r\nX-Key", "a"),
        ("X Key", "a"),
        ("X-Key:", "a"),
        ("", "a"),
        ("X-Ké", "a"),
        *((name, "a") for name in ["Host", "host", "HOST", "Content-Length", "Transfer-Encoding", "Connection"]),
        *(
            (name, "a")
            for name in ["webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP", "Upgrade", "TE", "Expect"]
        ),
    ],
)
def test_a_header_that_is_not_the_tenants_to_set_is_refused(create, update, make_webhook, name, value):
    sink = make_webhook()
    for response in (
        create(webhook(headers={name: value})),
        update(sink, event_sink_args={"Webhook": {"headers": {name: value}}}),
    ):
        says(response, 400)
        assert fields_of(response)[0].startswith("event_sink_args.Webhook.headers")
    assert "headers" not in opened(sink)


@pytest.mark.guarantee("S14")
def test_more_headers_than_fifty_are_refused(create):
    headers = {f"X-{number}": "v" for number in range(51)}
    says(create(webhook(headers=headers)), 400)
    headers.pop("X-0")
    assert create(webhook(headers=headers)).status_code == 200


# --- Deleting, methods and paths -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"", "application/json"),
        (b'{"id": "x"}', "application/json"),
        (b"not json", "application/json"),
        (b"x", "text/plain"),
    ],
)
def test_a_delete_does_not_read_its_body(api, acme, make_webhook, make_alert, body, content_type):
    sink = make_webhook()
    make_alert()
    response = api.delete(f"/v1/event_sink/{sink.uuid}", body=body, content_type=content_type)
    assert response.status_code == 200
    assert response.json() == {"id": str(sink.uuid), "tenant_id": str(acme.id)}
    says(api.get(f"/v1/event_sink/{sink.uuid}"), 404)
    says(api.delete(f"/v1/event_sink/{sink.uuid}"), 404)
    assert api.get("/v1/event_sink").json()["event_sinks"] == []
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == ("suppressed", "the event sink was deleted")


@pytest.mark.parametrize(
    "id", ["x", "1", "%00", "%FF", "..", "é", "a%2Fb", "00000000-0000-0000-0000-000000000000"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_no_id_of_a_sink_is_not_found(api, method, id):
    says_not_found(api.send(method, f"/v1/event_sink/{id}", {}))


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_an_id_is_read_in_either_case(api, make_webhook, case):
    sink = make_webhook()
    assert api.get(f"/v1/event_sink/{case(str(sink.uuid))}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/event_sink/", "/v1/event_sink/{}/", "/v1/event_sink/{}/pause/", "/v1/delivery/", "/v1", "/v1/", "/"],
)
def test_a_path_that_ends_in_a_slash_is_not_found_and_not_redirected(api, make_webhook, path):
    says_not_found(api.get(path.format(make_webhook().uuid)))


def says_not_found(response):
    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    assert "Location" not in response
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/event_sink", "GET, POST"),
        ("PATCH", "/v1/event_sink", "GET, POST"),
        ("DELETE", "/v1/event_sink", "GET, POST"),
        ("TRACE", "/v1/event_sink", "GET, POST"),
        ("POST", "/v1/event_sink/{}", "GET, PUT, DELETE"),
        ("PATCH", "/v1/event_sink/{}", "GET, PUT, DELETE"),
        ("TRACE", "/v1/event_sink/{}", "GET, PUT, DELETE"),
        ("SPROING", "/v1/event_sink/{}", "GET, PUT, DELETE"),
        ("GET", "/v1/event_sink/{}/pause", "POST"),
        ("PUT", "/v1/event_sink/{}/resume", "POST"),
        ("POST", "/v1/event_sink/{}/signing_secret", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_named_with_those_it_takes(api, make_webhook, method, path, allowed):
    response = api.send(method, path.format(make_webhook().uuid))
    says(response, 405, method)
    assert set(allowed.split(", ")) <= set(response["Allow"].split(", "))
    assert method not in response["Allow"].split(", ")


def test_head_answers_as_get_without_a_body(api, make_webhook):
    path = f"/v1/event_sink/{make_webhook().uuid}"
    head, get = api.send("HEAD", path), api.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == get["Content-Length"] if "Content-Length" in get else True


def test_options_says_which_methods_there_are(api, make_webhook):
    response = api.send("OPTIONS", f"/v1/event_sink/{make_webhook().uuid}")
    assert response.status_code == 200
    assert set(response["Allow"].split(", ")) >= {"GET", "PUT", "DELETE"}


# --- Our verbs -------------------------------------------------------------------------------------


def test_a_paused_sink_keeps_what_comes_and_a_resumed_one_sends_it(api, make_webhook, make_alert):
    sink = make_webhook()
    paused = api.post(f"/v1/event_sink/{sink.uuid}/pause").json()["event_sink"]
    assert (paused["state"], paused["enabled"]) == ("paused", False)
    make_alert()
    assert Delivery.objects.get().state == "pending"
    resumed = api.post(f"/v1/event_sink/{sink.uuid}/resume").json()["event_sink"]
    assert (resumed["state"], resumed["enabled"]) == ("active", True)
    assert Delivery.objects.get().state == "pending"
