"""NetBird's integrations over /api/event-streaming: what its clients and its pages send, and what they get."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from datetime import datetime
from pathlib import Path

import pytest

from eventsinks.actions.tenants import issue_key
from eventsinks.models import SCOPES, Destination, Event
from eventsinks.models.destination import list_types
from eventsinks.sending.hold import park
from tests.api.conftest import Caller
from tests.destinations.conftest import amazon, moto  # noqa: F401 - fixtures
from tests.destinations.examples import example
from tests.helpers.receiver import Receiver, answer, hang

pytestmark = pytest.mark.django_db
GOLDEN = Path(__file__).parents[2] / "golden" / "netbird"
DEFAULTS = json.loads((GOLDEN.parent / "defaults/netbird.json").read_text())
PATH = "/api/event-streaming"
PATHS = [PATH, "/api/integrations/event-streaming"]
both_paths = pytest.mark.parametrize("path", PATHS)
BASIC = "Basic " + b64encode(b"jo:very-secret").decode()


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


@pytest.fixture
def made(api, receiver):
    """Return the integration that Acme has: generic HTTP, with secrets."""
    return create(
        api, {"url": receiver.url(), "headers": headers(Authorization=BASIC, **{"X-Key": "very-secret"})}
    )


def headers(**given):
    return json.dumps(given)


def create(api, config, platform="generic_http", enabled=True, path=PATH):
    response = api.post(path, {"platform": platform, "config": config, "enabled": enabled})
    assert response.status_code == 200, response.content
    return response.json()


def refused(response, status, *texts):
    """Assert that an answer is an error in NetBird's shape and says each of `texts`. Return the message."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json; charset=UTF-8"
    assert response["X-Request-Id"]
    error = response.json()
    assert set(error) == {"message", "code"}
    assert error["code"] == status
    assert error["message"][:1] == error["message"][:1].lower()
    for text in texts:
        assert text in error["message"], error
    return error["message"]


def secrets_of(made):
    return Destination.objects.get(id=made["id"]).opened_config().dump_revealed()


def is_golden(name, response):
    """Compare an answer with tests/golden/netbird/<name>.json; what differs by nature is named there."""
    text = response.content.decode()
    text = re.sub(r'"(id|account_id)":("[^"]+"|\d+)', r'"\1":"<\1>"', text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?Z"', '"<time>"', text)
    text = re.sub(r"127\.0\.0\.1:\d+", "<host>", text)
    text = text.replace(", ".join(list_types("integration")), "<platforms>")
    body = json.loads(text, object_hook=without_defaults)
    text = json.dumps({"status": response.status_code, "body": body}, indent=2) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def without_defaults(found):
    """Return a part of an answer: of an integration, only what is not as in defaults/netbird.json."""
    if "platform" not in found:
        return found
    assert [name for name in found if name in DEFAULTS] == list(DEFAULTS)
    return {name: value for name, value in found.items() if name not in DEFAULTS or value != DEFAULTS[name]}


# --- The shape ------------------------------------------------------------------------------------


@both_paths
def test_the_answers_are_the_golden_ones(api, receiver, path):
    config = {"url": receiver.url(), "headers": headers(Authorization="Bearer very-secret")}
    response = api.post(path, {"platform": "generic_http", "config": config, "enabled": True})
    is_golden("create", response)
    one = f"{path}/{response.json()['id']}"
    is_golden("get", api.get(one))
    is_golden("list", api.get(path))
    is_golden("update", api.put(one, {"enabled": False}))
    is_golden("delete", api.delete(one))
    is_golden("not_found", api.get(f"{path}/7"))
    is_golden("not_a_number", api.get(f"{path}/x"))
    is_golden("unknown_platform", api.post(path, {"platform": "pigeon_post", "config": {}, "enabled": True}))


def test_an_integration_has_a_number_an_account_and_times_in_microseconds(api, made, acme):
    assert type(made["id"]) is int
    assert made["account_id"] == str(acme.id)
    assert datetime.fromisoformat(made["created_at"]).tzinfo
    assert made["created_at"] == made["updated_at"]
    response = api.get(f"{PATH}/{made['id']}")
    assert response["Content-Type"] == "application/json; charset=UTF-8"
    assert response["X-Request-Id"]


@both_paths
def test_the_list_is_bare_and_empty_where_there_is_nothing(api, path):
    response = api.get(path)
    assert (response.status_code, response.content) == (200, b"[]")


def test_both_paths_are_the_same_house(api, made):
    for path in PATHS:
        assert api.get(path).json() == [made]
        assert api.get(f"{path}/{made['id']}").json() == made


@pytest.mark.parametrize(
    ("platform", "config", "shown"),
    [
        ("datadog", {"api_key": "s3cr3t", "site": "datadoghq.eu"}, {"api_key": "****", "site": "datadoghq.eu"}),
        (
            "s3",
            {"access_key": "AKIA1", "secret_key": "s3cr3t", "bucket_name": "acme-logs", "region": "eu-central-1"},
            {"access_key": "AKIA1", "secret_key": "****", "bucket_name": "acme-logs", "region": "eu-central-1"},
        ),
        (
            "s3",
            {
                "access_key_id": "AKIA1",
                "secret_access_key": "s3cr3t",
                "bucket_name": "acme",
                "region": "us-east-1",
            },
            {"access_key_id": "AKIA1", "secret_access_key": "****", "bucket_name": "acme", "region": "us-east-1"},
        ),
        (
            "firehose",
            {"access_key": "AKIA1", "secret_key": "s3cr3t", "stream_name": "logs", "region": "us-east-1"},
            {"access_key": "AKIA1", "secret_key": "****", "stream_name": "logs", "region": "us-east-1"},
        ),
    ],
)
def test_each_platform_is_shown_under_the_names_it_was_given_without_its_secret(api, platform, config, shown):
    response = api.post(PATH, {"platform": platform, "config": config, "enabled": False})
    assert response.json()["config"] == shown
    assert b"s3cr3t" not in response.content + api.get(PATH).content
    assert secrets_of(response.json()) == config


def test_event_sinks_are_no_integrations_and_the_other_way_round(api, make_webhook, made):
    sink = make_webhook()
    assert [found["id"] for found in api.get(PATH).json()] == [made["id"]]
    refused(api.get(f"{PATH}/{sink.id}"), 404)
    uuid = Destination.objects.get(id=made["id"]).uuid
    assert api.get(f"/v1/event_sink/{uuid}").status_code == 404
    message = refused(api.post(PATH, {"platform": "webhook", "config": {"url": "https://example.com/"}}), 422)
    assert message == f"platform: must be one of {', '.join(list_types('integration'))}"


# --- Trying it first ------------------------------------------------------------------------------


def test_the_far_end_gets_one_message_that_says_it_is_a_test(api, receiver):
    create(api, {"url": receiver.url()})
    (got,) = receiver.got
    body = json.loads(got.body)
    assert body["Message"] == "integration test"
    assert body["meta"] == {"purpose": "configuration-test"}
    assert body["ID"].startswith("test-event-")


@pytest.mark.parametrize(
    ("mapping", "first"),
    [("as_accepted", "id"), ("netbird", "timestamp"), ("netbird_http", "ID"), ("ecs", "@timestamp")],
)
def test_the_test_message_has_the_shape_that_was_asked_for(api, receiver, mapping, first):
    body = {"platform": "generic_http", "config": {"url": receiver.url()}, "enabled": True, "mapping": mapping}
    made = api.post(PATH, body).json()
    assert made["mapping"] == mapping
    api.put(f"{PATH}/{made['id']}", {"config": {"url": receiver.url()}})
    api.post(f"{PATH}/{made['id']}/test")
    assert [next(iter(json.loads(got.body))) for got in receiver.got] == [first] * 3
    api.put(f"{PATH}/{made['id']}", {"config": {"url": receiver.url()}, "mapping": "as_accepted"})
    assert next(iter(json.loads(receiver.got[-1].body))) == "id"


@pytest.mark.parametrize(
    ("platform", "more", "mapping"),
    [
        ("generic_http", {}, "netbird_http"),
        ("datadog", {}, "as_accepted"),
        ("firehose", {}, "as_accepted"),
        ("s3", {"layout": "batch"}, "as_accepted"),
        ("s3", {"layout": "object_per_event"}, "netbird"),
    ],
)
def test_who_asks_for_no_shape_gets_the_one_that_netbirds_page_shows(api, platform, more, mapping):
    config = {**WHOLE[platform], **more}
    assert create(api, config, platform, enabled=False)["mapping"] == mapping
    asked = {"platform": platform, "config": config, "enabled": False, "mapping": "as_accepted"}
    assert api.post(PATH, asked).json()["mapping"] == "as_accepted"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 413, 429, 500, 503])
def test_what_the_far_end_does_not_take_is_not_kept(api, status):
    with Receiver(lambda got: answer(status)) as far_end:
        response = api.post(PATH, {"platform": "generic_http", "config": {"url": far_end.url()}, "enabled": True})
    refused(response, 412, "the test message was not taken", str(status))
    assert not Destination.objects.exists()
    assert not Event.objects.filter(type="audit").exists()


def test_a_far_end_that_is_not_there_is_told_as_such(api):
    with Receiver() as gone:
        url = gone.url()
    response = api.post(PATH, {"platform": "generic_http", "config": {"url": url}, "enabled": True})
    refused(response, 412, "connection_refused")


def test_a_far_end_that_never_answers_does_not_hold_the_caller_for_long(api, monkeypatch):
    monkeypatch.setattr("eventsinks.actions.trying.send_now.TIMEOUT", 0.3)
    with Receiver() as far_end:
        far_end.answers = lambda got: hang(far_end)
        response = api.post(PATH, {"platform": "generic_http", "config": {"url": far_end.url()}, "enabled": True})
        far_end.release()
    refused(response, 412, "timeout")


@pytest.mark.guarantee("S8")
@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://10.0.0.1/", "http://[::ffff:a9fe:a9fe]/"])
def test_an_internal_address_is_not_even_tried(api, url):
    refused(
        api.post(PATH, {"platform": "generic_http", "config": {"url": url}, "enabled": True}), 422, "config.url"
    )


def test_a_change_that_the_far_end_does_not_take_changes_nothing(api, made):
    before = Destination.objects.values().get()
    with Receiver(lambda got: answer(500)) as broken:
        refused(
            api.put(
                f"{PATH}/{made['id']}",
                {"config": {"url": broken.url(), "headers": headers(Authorization="Bearer b")}},
            ),
            412,
            "500",
        )
    assert Destination.objects.values().get() == before


def test_what_is_off_or_is_turned_off_is_not_tried(api, made, receiver):
    del receiver.got[:]
    receiver.answers = lambda got: answer(500)
    one = f"{PATH}/{made['id']}"
    assert not api.put(one, {"config": made["config"], "enabled": False}).json()["enabled"]
    assert api.put(one, {"config": {"url": receiver.url("/else")}}).status_code == 200
    assert not create(api, {"url": receiver.url()}, enabled=False)["enabled"]
    assert receiver.got == []
    refused(api.put(one, {"enabled": True}), 412)
    assert len(receiver.got) == 1


def test_s3_is_tried_with_an_object(api, amazon, settings):  # noqa: F811
    settings.AWS_ENDPOINT_URL = amazon.url
    config = {
        "access_key": "AKIA1",
        "secret_key": "s3cr3t",
        "bucket_name": "acme-events",
        "region": "eu-central-1",
    }
    refused(api.post(PATH, {"platform": "s3", "config": config, "enabled": True}), 412, "there is no such bucket")
    bucket = amazon.make_bucket()
    create(api, config, "s3")
    assert len(list(bucket.objects.all())) == 1


# --- Updating -------------------------------------------------------------------------------------


def test_the_switch_of_the_dashboard_keeps_every_secret(api, made):
    """It sends back the config as it got it: `****`, `Basic ****`, inside the JSON of the headers too."""
    assert json.loads(made["config"]["headers"]) == {"Authorization": "Basic ****", "X-Key": "****"}
    before = secrets_of(made)
    for enabled in (False, True):
        response = api.put(f"{PATH}/{made['id']}", {"config": made["config"], "enabled": enabled})
        assert response.json()["config"] == made["config"]
        assert response.json()["enabled"] is enabled
        assert secrets_of(made) == before


def test_a_form_that_writes_the_mask_back_encoded_keeps_the_secret_too(api, made):
    encoded = "Basic " + b64encode(b"****:****").decode()
    config = {**made["config"], "headers": headers(Authorization=encoded)}
    assert api.put(f"{PATH}/{made['id']}", {"config": config}).status_code == 200
    assert json.loads(secrets_of(made)["headers"]) == {"Authorization": BASIC}


def test_a_config_is_merged_and_the_platform_is_ignored(api, made, receiver):
    body = {"platform": "s3", "config": {"url": receiver.url("/new")}, "enabled": True, "surprise": 1}
    changed = api.put(f"{PATH}/{made['id']}", body).json()
    assert changed["platform"] == "generic_http"
    assert changed["config"] == {**made["config"], "url": receiver.url("/new")}
    assert api.put(f"{PATH}/{made['id']}", {"platform": 5}).json() == changed


@pytest.mark.parametrize("given", ["", "{}", headers(**{"X-Key": "****"}), headers(**{"X-Key": "new"})])
def test_a_template_goes_where_the_dashboard_sends_the_rest_without_it(api, receiver, given):
    whole = {"url": receiver.url(), "headers": headers(**{"X-Key": "k"}), "ordered": "true"}
    made = create(api, {**whole, "body_template": '{"m": "{{.Message}}"}'})
    changed = api.put(f"{PATH}/{made['id']}", {"config": {"url": receiver.url(), "headers": given}}).json()
    assert "body_template" not in changed["config"]
    assert changed["config"]["ordered"] == "true"


KEYS = {"access_key": "AKIA1", "secret_key": "s3cr3t", "region": "us-east-1"}
ROLE = {"role_arn": "arn:aws:iam::123456789012:role/logs", "external_id": "acme"}
WHOLE = {
    "generic_http": {
        "url": "https://example.com/in",
        "headers": headers(Authorization=BASIC),
        "body_template": '{"m": "{{.Message}}"}',
        "ordered": "true",
    },
    "datadog": {
        "api_key": "s3cr3t",
        "site": "datadoghq.eu",
        "service": "siem",
        "ddsource": "nb",
        "ddtags": "env:prod",
        "hostname": "h",
    },
    "s3": {**KEYS, **ROLE, "bucket_name": "acme", "prefix": "logs/", "layout": "batch", "sse": "AES256"},
    "firehose": {**KEYS, **ROLE, "stream_name": "logs"},
}
WHOLE = {key: WHOLE.get(key) or example(key) for key in list_types("integration")}  # a new type's is its example


@pytest.mark.parametrize("platform", sorted(WHOLE))
def test_a_nul_in_a_config_is_refused_at_its_field(api, platform):
    for field in WHOLE[platform]:
        config = {**WHOLE[platform], field: "a\0b"}
        said = refused(api.post(PATH, {"platform": platform, "config": config, "enabled": False}), 422)
        assert said == f"config.{field}: must not contain NUL characters"
    assert not Destination.objects.exists()


@pytest.mark.parametrize(("platform", "field"), [(key, name) for key, whole in WHOLE.items() for name in whole])
def test_a_part_of_a_config_leaves_the_rest_as_it_is(api, platform, field):
    made = create(api, WHOLE[platform], platform, enabled=False)
    before = secrets_of(made)
    changed = api.put(f"{PATH}/{made['id']}", {"config": {field: WHOLE[platform][field]}})
    assert changed.status_code == 200, changed.content
    assert changed.json()["config"] == made["config"]
    assert secrets_of(made) == before


def test_datadogs_key_is_kept_and_replaced(api):
    made = create(api, {"api_key": "old-secret", "site": "datadoghq.eu"}, "datadog", enabled=False)
    one = f"{PATH}/{made['id']}"
    api.put(one, {"config": {"api_key": "****", "service": "siem"}})
    assert secrets_of(made) == {"api_key": "old-secret", "site": "datadoghq.eu", "service": "siem"}
    api.put(one, {"config": {"api_key": "new-secret", "site": "datadoghq.com"}})
    assert secrets_of(made) == {"api_key": "new-secret", "site": "datadoghq.com", "service": "siem"}


def test_a_mask_where_nothing_was_is_no_secret(api, receiver):
    config = {"url": receiver.url(), "headers": headers(**{"X-Key": "****"})}
    refused(api.post(PATH, {"platform": "generic_http", "config": config}), 422, "config.headers", "****")


def test_a_repaired_integration_is_active_again(api, made):
    integration = Destination.objects.get(id=made["id"])
    park(integration.id, integration.version, "the far end answered 401")
    shown = api.get(f"{PATH}/{made['id']}").json()
    told = ("enabled", "state", "state_reason", "status")
    assert [shown[name] for name in told] == [True, "parked", "the far end answered 401", "disabled"]
    assert api.put(f"{PATH}/{made['id']}", {"config": made["config"]}).json()["state"] == "active"


@pytest.mark.parametrize("body", [{}, {"config": None}, {"enabled": None}, {"platform": "s3"}])
def test_what_says_nothing_changes_nothing(api, made, receiver, body):
    del receiver.got[:]
    assert api.put(f"{PATH}/{made['id']}", body).json() == made
    assert receiver.got == []


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
@both_paths
def test_deleting_takes_a_body_or_none_and_answers_an_empty_object(api, made, path, body):
    response = api.delete(f"{path}/{made['id']}", body=body)
    assert (response.status_code, response.content) == (200, b"{}")
    refused(api.delete(f"{path}/{made['id']}"), 404)
    assert Destination.objects.get(id=made["id"]).sealed_secrets == ""


# --- What is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["post", "put"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"5", b'{"enabled": NaN}', b"\xff", b'{"a":"\x00"}']
)
def test_what_is_no_json_object_is_told_in_netbirds_words(api, made, method, body):
    path = PATH if method == "post" else f"{PATH}/{made['id']}"
    assert refused(getattr(api, method)(path, body), 400) == "couldn't parse JSON request"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"platform": None}, "platform"),
        ({"platform": 5}, "platform"),
        ({"platform": "S3"}, "platform"),
        ({"config": None}, "config"),
        ({"config": []}, "config"),
        ({"config": {"url": 5}}, "config.url"),
        ({"config": {"url": None}}, "config.url"),
        ({"config": {}}, "config.url"),
        ({"config": {"url": "ftp://example.com/"}}, "config.url"),
        ({"config": {"url": "https://example.com/", "surprise": "x"}}, "config.surprise"),
        ({"config": {"url": "https://example.com/", "headers": "not json"}}, "config.headers"),
        ({"config": {"url": "https://example.com/", "headers": '{"Host": "x"}'}}, "config.headers"),
        ({"config": {"url": "https://example.com/", "body_template": "{{.Nothing}}"}}, "config.body_template"),
        ({"enabled": "yes"}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": None}, "enabled"),
    ],
)
def test_what_is_wrong_is_refused_at_its_field(api, change, field):
    body = {"platform": "generic_http", "config": {"url": "https://example.com/"}, "enabled": False, **change}
    refused(api.post(PATH, body), 422, f"{field}: ")
    assert not Destination.objects.exists()


@pytest.mark.parametrize(
    "id", ["x", "-1", "1.5", "0x1", "١", "9" * 19, "9" * 30, "1%20", "%00", "5d9b2a6e-0000-4000-8000-000000000000"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_id_that_is_no_number_is_a_bad_request(api, method, id):
    response = api.send(method, f"{PATH}/{id}", b"{}")
    assert refused(response, 400) == "invalid integration id format"


@pytest.mark.parametrize("id", ["0", "999999", "9223372036854775807", "007"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_number_that_is_no_integration_is_not_found(api, method, id):
    refused(api.send(method, f"{PATH}/{id}", b"{}"), 404, "not found")


@pytest.mark.parametrize(
    "path", [*PATHS, f"{PATH}/1", "/api/events/audit", "/api/events", "/api/events/network-traffic"]
)
def test_who_comes_without_a_good_key_is_told_in_netbirds_words(nobody, path):
    response = nobody.get(path)
    assert refused(response, 401) == "no valid authentication provided"
    assert response["WWW-Authenticate"]
    assert refused(nobody.get(path, Authorization="Basic abc"), 401) == "no valid authentication provided"
    for scheme in ("Token", "token", "Bearer", "BEARER"):
        assert refused(nobody.get(path, Authorization=f"{scheme} nbp_wrong"), 401) == "token invalid"


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer", "bearer"])
def test_both_schemes_open_in_any_case(acme_key, scheme):
    assert Caller(acme_key, scheme).get(PATH).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", PATH, "event_streaming:read"),
        ("POST", PATH, "event_streaming:write"),
        ("GET", f"{PATH}/1", "event_streaming:read"),
        ("PUT", f"{PATH}/1", "event_streaming:write"),
        ("DELETE", f"{PATHS[1]}/1", "event_streaming:write"),
        ("GET", "/api/events/audit", "event:read"),
        ("GET", "/api/events", "event:read"),
        ("POST", "/api/events/audit", "event:write"),
        ("GET", "/api/events/network-traffic", "event:read"),
        ("POST", "/api/events/network-traffic", "event:write"),
    ],
)
def test_a_key_without_the_scope_is_told_which_one(acme, method, path, needed):
    _, others = issue_key(acme, scopes=[scope for scope in SCOPES if scope != needed])
    refused(Caller(others).send(method, path, {}), 403, needed)
    _, just = issue_key(acme, scopes=[needed])
    assert Caller(just).send(method, path, {}).status_code in (200, 404, 422)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PUT", "DELETE"])
def test_a_method_that_there_is_not_is_refused(api, path, method):
    refused(api.send(method, path, b"{}"), 405)


def test_what_is_not_sent_as_json_is_not_read(api):
    refused(api.post(PATH, b"platform=s3", content_type="application/x-www-form-urlencoded"), 415)


def test_no_path_ends_in_a_slash(api):
    for path in PATHS:
        assert api.get(f"{path}/").status_code == 404


def test_another_account_can_not_be_asked_for(api, acme, globex):
    assert api.get(f"{PATH}?account={acme.id}").status_code == 200
    assert refused(api.get(f"{PATH}?account={globex.id}"), 403) == "permission denied"
