"""Who comes in: API keys, their scopes, and the operator who issues them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from eventsinks.actions.tenants import issue_key, revoke_key
from eventsinks.models import SCOPES, ApiKey, Tenant
from tests.api.conftest import Caller, fields_of, says

pytestmark = pytest.mark.django_db

TENANT_PATHS = ["/v1/event_sink", "/v1/detection_alert", "/v1/delivery"]
UNKNOWN = uuid.UUID(int=1)  # always the same: it is in the names of tests
OPERATOR_PATHS = ["/v1/tenant", "/v1/api_key"]


def is_unauthorized(response):
    error = says(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer ")
    return error


@pytest.mark.parametrize("path", TENANT_PATHS + OPERATOR_PATHS)
def test_without_a_key_nothing_opens(nobody, path):
    is_unauthorized(nobody.get(path))
    is_unauthorized(nobody.post(path, {"name": "x"}))


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic {key}",
        "{key}",
        "Bearer",
        "Bearer ",
        "Bearer {key}x",
        "Bearer {key} {key}",
        "Digest {key}",
        "Token",
        "é {key}",
    ],
)
def test_what_is_not_a_scheme_and_a_key_opens_nothing(nobody, acme_key, authorization):
    is_unauthorized(nobody.get("/v1/event_sink", Authorization=authorization.format(key=acme_key)))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Token", "token"])
def test_both_schemes_open_in_any_case(acme_key, scheme):
    assert Caller(acme_key, scheme).get("/v1/event_sink").status_code == 200


def test_an_expired_key_opens_nothing(acme):
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, text = issue_key(acme, expires_at=past)
    is_unauthorized(Caller(text).get("/v1/event_sink"))


def test_a_key_opens_until_it_expires(acme):
    _, text = issue_key(acme, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert Caller(text).get("/v1/event_sink").status_code == 200


def test_a_revoked_key_opens_nothing_from_the_next_request_on(acme):
    key, text = issue_key(acme)
    assert Caller(text).get("/v1/event_sink").status_code == 200
    revoke_key(key)
    is_unauthorized(Caller(text).get("/v1/event_sink"))


def test_a_refused_key_is_not_repeated_in_the_answer(nobody):
    response = nobody.get("/v1/event_sink", Authorization="Bearer es_looks-like-a-key")
    is_unauthorized(response)
    assert b"looks-like" not in response.content


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/event_sink", "event_sink:read"),
        ("HEAD", "/v1/event_sink", "event_sink:read"),
        ("POST", "/v1/event_sink", "event_sink:write"),
        ("GET", f"/v1/event_sink/{UNKNOWN}", "event_sink:read"),
        ("PUT", f"/v1/event_sink/{UNKNOWN}", "event_sink:write"),
        ("DELETE", f"/v1/event_sink/{UNKNOWN}", "event_sink:write"),
        ("POST", f"/v1/event_sink/{UNKNOWN}/pause", "event_sink:write"),
        ("POST", f"/v1/event_sink/{UNKNOWN}/resume", "event_sink:write"),
        ("GET", f"/v1/event_sink/{UNKNOWN}/signing_secret", "event_sink:write"),
        ("HEAD", f"/v1/event_sink/{UNKNOWN}/signing_secret", "event_sink:write"),
        ("GET", "/v1/detection_alert", "detection_alert:read"),
        ("POST", "/v1/detection_alert", "detection_alert:write"),
        ("GET", "/v1/detection_alert/x", "detection_alert:read"),
        ("GET", "/v1/detection_alert/x/explain", "detection_alert:read"),
        ("GET", "/v1/delivery", "delivery:read"),
        ("GET", f"/v1/delivery/{UNKNOWN}", "delivery:read"),
        ("POST", f"/v1/delivery/{UNKNOWN}/replay", "delivery:write"),
    ],
)
def test_a_key_without_the_scope_is_told_which_one(acme, method, path, needed):
    _, others = issue_key(acme, scopes=[scope for scope in SCOPES if scope != needed])
    refused = Caller(others).send(method, path, {} if method in ("POST", "PUT") else b"")
    assert refused.status_code == 403
    if method != "HEAD":
        says(refused, 403, needed)
    _, just = issue_key(acme, scopes=[needed])
    assert Caller(just).send(method, path, {} if method in ("POST", "PUT") else b"").status_code in (200, 400, 404)


@pytest.mark.parametrize("path", TENANT_PATHS)
def test_an_operators_key_sees_nothing_of_tenants(operator_api, path):
    says(operator_api.get(path), 403)
    says(operator_api.post(path, {"name": "x", "severity": "High"}), 403)


@pytest.mark.parametrize("path", OPERATOR_PATHS)
def test_a_tenants_key_is_no_operators_key(api, path):
    says(api.get(path), 403, "operator")
    says(api.post(path, {"name": "x"}), 403, "operator")
    assert Tenant.objects.count() == 1


def test_a_tenants_key_can_not_be_given_the_operators_scope(operator_api, acme):
    response = operator_api.post("/v1/api_key", {"tenant_id": str(acme.id), "scopes": ["operator"]})
    says(response, 400, "no such scope: operator", "event_sink:read")
    assert fields_of(response) == ["scopes"]
    assert not ApiKey.objects.filter(tenant=acme).exists()


def test_an_operator_makes_a_tenant_and_a_key_that_works(operator_api):
    tenant = operator_api.post("/v1/tenant", {"name": "Initech"}).json()["tenant"]
    assert tenant["name"] == "Initech"
    made = operator_api.post("/v1/api_key", {"tenant_id": tenant["id"], "scopes": ["event_sink:read"]})
    key = made.json()["api_key"]
    assert key["tenant_id"] == tenant["id"]
    assert key["scopes"] == ["event_sink:read"]
    assert key["key"].startswith(key["prefix"])
    theirs = Caller(key["key"])
    assert theirs.get("/v1/event_sink").json()["event_sinks"] == []
    says(theirs.post("/v1/event_sink", {}), 403, "event_sink:write")
    assert operator_api.delete(f"/v1/api_key/{key['id']}").json() == {"id": key["id"]}
    is_unauthorized(theirs.get("/v1/event_sink"))
    says(operator_api.delete(f"/v1/api_key/{key['id']}"), 404)


def test_the_text_of_a_key_is_shown_once_and_kept_nowhere(operator_api, acme):
    text = operator_api.post("/v1/api_key", {"tenant_id": str(acme.id)}).json()["api_key"]["key"]
    listed = operator_api.get("/v1/api_key")
    assert len(listed.json()["data"]["api_keys"]) == 1
    assert text not in listed.content.decode()
    assert text not in str(ApiKey.objects.filter(tenant=acme).values())


def test_a_tenant_keeps_the_id_that_it_is_given_and_no_two_have_the_same(operator_api):
    id = str(uuid.uuid4())
    assert operator_api.post("/v1/tenant", {"name": "Initech", "id": id}).json()["tenant"]["id"] == id
    assert operator_api.get(f"/v1/tenant/{id}").json()["tenant"]["name"] == "Initech"
    says(operator_api.post("/v1/tenant", {"name": "Other", "id": id}), 409, id)
    assert operator_api.get(f"/v1/tenant/{id}").json()["tenant"]["name"] == "Initech"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "id": "not a UUID"}, "id"),
        ([], ""),
    ],
)
def test_what_is_no_tenant_is_refused_at_its_field(operator_api, body, field):
    response = operator_api.post("/v1/tenant", body)
    says(response, 400)
    assert fields_of(response) == [field]
    assert not Tenant.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tenant_id": None}, "tenant_id"),
        ({"tenant_id": "x"}, "tenant_id"),
        ({"scopes": "event_sink:read"}, "scopes"),
        ({"scopes": [5]}, "scopes.0"),
        ({"scopes": ["event_sink"]}, "scopes"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+10:00"}, "expires_at"),
    ],
)
def test_what_is_no_key_is_refused_at_its_field(operator_api, acme, change, field):
    response = operator_api.post("/v1/api_key", {"tenant_id": str(acme.id), **change})
    says(response, 400)
    assert fields_of(response) == [field]
    assert not ApiKey.objects.filter(tenant=acme).exists()


def test_a_key_of_a_tenant_that_there_is_not_is_not_found(operator_api):
    says(operator_api.post("/v1/api_key", {"tenant_id": str(uuid.uuid4())}), 404)


def test_operators_keys_are_not_looked_after_over_the_api(operator_api, operator_key):
    own = ApiKey.objects.of_text(operator_key).get()
    assert operator_api.get("/v1/api_key").json()["data"]["api_keys"] == []
    says(operator_api.delete(f"/v1/api_key/{own.id}"), 404)
    assert operator_api.get("/v1/tenant").status_code == 200


def test_paging_through_tenants_sees_each_once(operator_api):
    for number in range(7):
        operator_api.post("/v1/tenant", {"name": f"tenant {number}"})
    seen, token = [], ""
    while token is not None:
        page = operator_api.get(f"/v1/tenant?page_size=3&page_token={token}").json()
        seen += [tenant["name"] for tenant in page["data"]["tenants"]]
        token = page["pagination"]["next_page_token"]
    assert sorted(seen) == [f"tenant {number}" for number in range(7)]


def test_a_key_of_a_cell_opens_it_and_its_name_is_no_part_of_what_is_secret(acme, settings):
    before = issue_key(acme)[1]
    settings.EVENTSINKS_CELL = "eu1"
    key, text = issue_key(acme)
    assert text.startswith("es_eu1.")
    assert key.prefix == text[:12]
    assert len(text.partition(".")[2]) == 43
    for one in (text, before):
        assert Caller(one).get("/v1/event_sink").status_code == 200
    assert Caller(text.replace("eu1", "eu2")).get("/v1/event_sink").status_code == 401
