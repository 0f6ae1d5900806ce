"""What machines and people ask the server about itself, and what every answer carries."""

from __future__ import annotations

import logging
import re
import sys

import jsonschema_rs
import pytest
import redis
import yaml
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from eventsinks.intake import nudge
from tests.api.conftest import Caller, says
from tests.api.netbird.examples import AUDIT, FLOW
from tests.api.test_isolation import url_table

# Other names of paths, which NetBird's programs use and the schema leaves out.
ALIASES = "api/integrations/event-streaming"  # of all that is under it
PAGES = ["/readyz", "/metrics", "/schema", "/docs"]


def is_alias(path):
    """Whether a path is another's second name, of which the schema says nothing."""
    return path == "api/events" or path.startswith(ALIASES)


class Flags:
    """The broker's client; `error` is what it raises."""

    def __init__(self, error=None):
        self.error = error

    def ping(self):
        if self.error:
            raise self.error
        return True


@pytest.fixture
def broker(monkeypatch):
    """Return what decides whether the broker is up."""
    flags = Flags()
    monkeypatch.setattr(nudge, "get_client", lambda: flags)
    return flags


@pytest.fixture
def lost_database(monkeypatch):
    """Return what makes the database fail with this error."""

    def lose(error):
        def cursor():
            raise error

        monkeypatch.setattr(connection, "cursor", cursor)

    return lose


# --- Alive and ready -------------------------------------------------------------------------------


@pytest.mark.guarantee("O1", "O2")
@pytest.mark.django_db
def test_metrics_are_prometheus_and_cost_no_query():
    with CaptureQueriesContext(connection) as queries:
        response = Client().get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert b"# TYPE eventsinks_attempts_total counter" in response.content
    assert not queries.captured_queries


@pytest.mark.guarantee("O4")
@pytest.mark.django_db
def test_readyz_says_what_can_be_reached(broker):
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": "ok", "broker": "ok"})


@pytest.mark.guarantee("O4")
@pytest.mark.django_db
@pytest.mark.parametrize("error", [redis.ConnectionError("refused by secret-host"), redis.TimeoutError("late")])
def test_without_the_broker_it_is_ready_and_says_so(broker, error):
    broker.error = error
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["broker"]) == (200, type(error).__name__)
    assert b"secret-host" not in response.content


@pytest.mark.django_db
def test_a_broker_that_nobody_listens_at_is_told_within_seconds(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    nudge.get_client.cache_clear()
    try:
        response = Client().get("/readyz")
    finally:
        nudge.get_client.cache_clear()
    assert (response.status_code, response.json()["broker"]) == (200, "ConnectionError")


@pytest.mark.guarantee("O4")
@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError("no route to secret-host"), InterfaceError("closed")])
def test_without_the_database_it_is_not_ready(broker, lost_database, error):
    lost_database(error)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "the database can't be reached",
        "broker": "ok",
    }


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/readyz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_is_to_be_read_takes_no_other_method(broker, page, method):
    response = Client(enforce_csrf_checks=True).generic(method, page)
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_nobody_needs_a_key_for_these(broker, page):
    assert Client().get(page).status_code == 200
    assert Client().head(page).status_code == 200


# --- The schema and its page -----------------------------------------------------------------------


ANSWERED_TO_ANYBODY = {"/healthz", "/readyz", "/metrics"}


def test_the_schema_tells_every_path_and_every_method():
    document = Client().get("/schema", headers={"Accept": "application/json"}).json()
    assert document["openapi"].startswith("3.1")
    keyed = {path: found for path, found in document["paths"].items() if path not in ANSWERED_TO_ANYBODY}
    assert len(document["paths"]) == len(keyed) + len(ANSWERED_TO_ANYBODY)
    told = {path.lstrip("/"): {*map(str.upper, found)} for path, found in keyed.items()}
    served = {
        path: methods - {"HEAD"} for path, methods in url_table().items() if path.startswith(("v1/", "api/"))
    }
    assert told == {path: methods for path, methods in served.items() if not is_alias(path)}
    for path, operations in keyed.items():
        for method, operation in operations.items():
            needed = {"200", "401", "403", "429", "503"} | ({"404"} if "{" in path else set())
            needed |= {"400", "413", "415"} if "requestBody" in operation else set()
            assert needed <= set(operation["responses"]), (method, path)
    assert yaml.safe_load(Client().get("/schema").content) == document


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("/v1/detection_alert", {"name": "x", "severity": "High"}),
        ("/api/events/audit", AUDIT),
        ("/api/events/network-traffic", FLOW),
    ],
)
def test_the_schema_takes_an_array_as_the_server_does_whatever_stands_beside_a_good_event(acme_key, path, good):
    document = Client().get("/schema", headers={"Accept": "application/json"}).json()
    asked = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body, accepts = [good, 5, {"surprise": True}], jsonschema_rs.validator_for({**document, **asked}).is_valid
    assert Caller(acme_key).post(path, body).status_code == 200
    assert accepts(body)
    for refused in ([], 5, "x"):
        assert Caller(acme_key).post(path, refused).status_code in (400, 422)
        assert not accepts(refused)


@pytest.mark.django_db
def test_the_documentation_asks_nothing_of_the_outside():
    page = Client().get("/docs")
    text = page.content.decode()
    assert page["Content-Type"].startswith("text/html")
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", text):
        assert address.startswith("/"), address
        assert not address.startswith("//")
    assert not re.findall(r"https?://(?!127\.0\.0\.1|localhost|testserver)[^\s\"'<]+", text)
    for address in re.findall(r"/static/[^\"']+", text):
        response = Client().get(address)
        assert response.status_code == 200, address
        assert b"".join(response)
        response.close()


# --- What every answer carries ---------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metrics", 200),
        ("/docs", 200),
        ("/v1/event_sink", 401),
        ("/nowhere", 404),
        ("/v1/nowhere", 404),
        ("/v1/event_sink/", 404),
        ("/admin/", 302),
    ],
)
def test_every_answer_carries_a_request_id(path, status):
    first, second = Client().get(path), Client().get(path)
    assert first.status_code == status
    assert re.fullmatch(r"[0-9a-f]{32}", first["X-Request-Id"])
    assert first["X-Request-Id"] != second["X-Request-Id"]


@pytest.mark.parametrize("given", ["a", "2f6c-A_b.9", "x" * 128])
def test_a_callers_request_id_is_kept(given):
    assert Client().get("/nowhere", headers={"X-Request-Id": given})["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", " ", "x" * 129, "a b", "a\nb", "é", "<script>", "a\n", "\x00"])
def test_a_request_id_that_could_forge_a_line_is_replaced(given):
    answered = Client().get("/nowhere", headers={"X-Request-Id": given})["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


def test_what_is_nowhere_is_told_in_the_shapes_of_both_formats():
    response = Client().get("/nowhere")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    document = response.json()
    assert document["error"]["code"] == "not_found"
    assert (document["message"], document["code"]) == ("not found", 404)


def test_a_host_that_is_not_ours_is_refused_in_json():
    response = Client(raise_request_exception=False).get("/v1/event_sink", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_request"
    assert response["X-Request-Id"]
    assert b"evil" not in response.content


@pytest.mark.urls("tests.api.urls_with_a_fault")
@pytest.mark.parametrize("path", ["/fails", "/v1/fails"])
def test_a_fault_of_ours_is_told_in_json_with_the_request_id_and_no_detail(api, path, caplog):
    response = api.get(path, X_Request_Id="the-one")
    assert response.status_code == 500
    assert response["Content-Type"] == "application/json"
    assert response["X-Request-Id"] == "the-one"
    assert response.json()["error"] == {"code": "internal", "message": "internal server error", "fields": []}
    assert b"secret" not in response.content
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


@pytest.mark.urls("tests.api.urls_with_a_fault")
def test_a_lost_database_is_told_as_such_and_when_to_try_again(api):
    response = api.get("/v1/no_database")
    error = says(response, 503)
    assert error["code"] == "unavailable"
    assert response["Retry-After"] == "1"
    assert b"secret" not in response.content


@pytest.mark.django_db
def test_a_database_that_is_lost_at_the_door_is_told_the_same(acme_key, lost_database):
    lost_database(OperationalError("no route to secret-host"))
    response = Caller(acme_key).get("/v1/event_sink")
    says(response, 503)
    assert response["X-Request-Id"]
    assert b"secret" not in response.content


def test_a_traceback_in_the_log_shows_no_local_variables():
    secret = "not-to-be-seen-by-anybody"  # noqa: F841
    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
    settings_of_lines = [
        h.formatter for h in logging.getLogger().handlers if hasattr(h.formatter, "foreign_pre_chain")
    ]
    (formatter,) = settings_of_lines
    written = formatter.format(record)
    assert "RuntimeError" in written
    assert written.count("not-to-be-seen-by-anybody") <= 1  # in the line of the source, at most
