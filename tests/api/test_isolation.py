"""Nobody sees or touches what is another tenant's: every path of the URL table, with every method it takes.

A path that is new in project/urls.py fails here until it is written down below how to ask it for what is foreign.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from eventsinks.actions.silence import make_silence
from eventsinks.actions.tenants import issue_key
from eventsinks.models import (
    ApiKey,
    Attempt,
    Delivery,
    Destination,
    Event,
    Replay,
    Silence,
    SlackWorkspace,
    Tenant,
)
from eventsinks.sending.hold import park
from tests.api.conftest import says
from tests.helpers import replays

pytestmark = pytest.mark.django_db

# Which foreign thing the id in a path names.
WITH_AN_ID = {
    "v1/event_sink/{id}": "sink",
    "v1/event_sink/{id}/pause": "sink",
    "v1/event_sink/{id}/resume": "sink",
    "v1/event_sink/{id}/replay": "sink",
    "v1/event_sink/{id}/signing_secret": "sink",
    "v1/event_sink/{id}/test": "sink",
    "v1/event_sink/{id}/rotate_secret": "sink",
    "v1/silence/{id}": "silence",
    "v1/replay/{id}": "replay",
    "v1/slack_integration/{id}": "workspace",
    "v1/delivery/{id}": "delivery",
    "v1/delivery/{id}/replay": "delivery",
    "v1/delivery/{id}/skip": "delivery",
    "v1/detection_alert/{key}": "alert",
    "v1/detection_alert/{key}/explain": "alert",
}
LISTS = ["v1/event_sink", "v1/slack_integration", "v1/delivery", "v1/detection_alert", "v1/silence", "v1/replay"]
ASKED = {"v1/event_sink/{id}/replay": b'{"since": "2026-01-01T00:00:00Z", "dry_run": true}'}  # what must be said
QUESTIONS = ["v1/silence/preview"]  # what is asked with a POST, and changes nothing
FOR_OPERATORS = {"v1/tenant": None, "v1/tenant/{id}": "tenant", "v1/api_key": None, "v1/api_key/{id}": "key"}
BEGINS = ["v1/slack_integration/install", "v1/usage"]  # each for the tenant of the key, whatever the body says
OF_NO_TENANT = ["slack/install", "slack/oauth/callback", "readyz", "metrics", "schema", "docs", "admin/"]
OF_PERSONS = ("admin/account/", "admin/login/")  # of whoever is logged in to the admin, and of no tenant
OF_NETBIRD = "api/"  # paths that tests/api/netbird/test_isolation.py knows all of
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def url_table():
    """Return {path: methods it takes}, where a path's ids are `{name}`."""
    table = {}
    for entry in get_resolver().url_patterns:
        path = str(entry.pattern).removeprefix("^").removesuffix("$")
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", path)
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
        table.setdefault(path, set()).update(methods_of(entry))
    return table


def methods_of(entry):
    callback = entry.callback if isinstance(entry, URLPattern) else None
    actions = getattr(callback, "actions", None)
    if actions:
        return {method.upper() for method in actions}
    view = getattr(callback, "cls", None)
    taken = getattr(view, "http_method_names", ())
    # What OPTIONS says is the same for every id.
    return {method for method in METHODS if method.lower() in taken and hasattr(view, method.lower())} - {
        "OPTIONS"
    }


@pytest.mark.guarantee("S13")
def test_no_path_is_forgotten():
    known = {*WITH_AN_ID, *LISTS, *QUESTIONS, *BEGINS, *FOR_OPERATORS, *OF_NO_TENANT}
    elsewhere = (OF_NETBIRD, *OF_PERSONS)
    table = {path: methods for path, methods in url_table().items() if not path.startswith(elsewhere)}
    assert set(table) == known
    assert all("{" not in path for path in LISTS)
    assert all(table[path] for path in [*WITH_AN_ID, *LISTS, *FOR_OPERATORS])


@pytest.fixture
def foreign(acme, make_webhook, make_alert, make_workspace):
    """Something of everything, Acme's; return the ids."""
    sink = make_webhook("http://127.0.0.1:2/", name="Acme's own", config={"headers": {"X-Key": "acmes-secret"}})
    make_alert(id="acmes-alert", name="Acme's own")
    delivery = Delivery.objects.get()
    Attempt.objects.create(id=uuid.uuid4(), delivery=delivery, number=1, started_at=delivery.created_at)
    Delivery.objects.update(state="failed", tries=10, reason="Acme's own")
    park(sink.id, sink.version, "Acme's own")
    key, _ = issue_key(acme, name="Acme's own")
    hour = timedelta(hours=1)
    own_silence = make_silence(
        acme, reason="Acme's own", author="acme", ends_at=timezone.now() + hour, filter="false"
    )
    own_replay = replays.start(sink, since=timezone.now() - hour)
    workspace = make_workspace()
    make_workspace(team_id="T00000002")
    SlackWorkspace.objects.update(team_name="Acme's own")
    return {
        "sink": sink.uuid,
        "delivery": delivery.id,
        "alert": "acmes-alert",
        "tenant": acme.id,
        "key": key.id,
        "silence": own_silence.id,
        "replay": own_replay.id,
        "workspace": workspace.id,
    }


def rows():
    """Return everything there is."""
    models = (Destination, Delivery, Attempt, Event, ApiKey, Tenant, Silence, Replay, SlackWorkspace)
    return [list(model.objects.order_by("pk").values()) for model in models]


BODIES = [b"", b"{}", b'{"name": "mine now", "enabled": false}', b"not json"]


@pytest.mark.guarantee("S13")
@pytest.mark.parametrize("path", WITH_AN_ID)
def test_what_is_another_tenants_is_not_found_with_any_method(globex_api, foreign, path):
    before = rows()
    asked = "/" + re.sub(r"\{\w+\}", str(foreign[WITH_AN_ID[path]]), path)
    unknown = "/" + re.sub(r"\{\w+\}", str(uuid.uuid4()), path)
    for method in sorted(url_table()[path]):
        for body in BODIES:
            response = globex_api.send(method, asked, body)
            assert response.status_code == 404, (method, body, response.content)
            assert response.content == globex_api.send(method, unknown, body).content
            if method != "HEAD":
                says(response, 404)
    assert rows() == before


@pytest.mark.parametrize("path", WITH_AN_ID)
def test_its_own_tenant_does_find_it(api, foreign, path):
    """So that a 404 above is not one of a path that never answers."""
    asked = "/" + re.sub(r"\{\w+\}", str(foreign[WITH_AN_ID[path]]), path)
    for method in sorted(url_table()[path], key=lambda method: method == "DELETE"):
        body = b"{}" if method == "PUT" else ASKED.get(path, b"")
        assert api.send(method, asked, body).status_code == 200, method


@pytest.mark.guarantee("S13")
@pytest.mark.parametrize("path", LISTS)
def test_a_list_never_shows_what_is_another_tenants(globex_api, api, foreign, path):
    queries = ["", "?page_size=1000"]
    if path == "v1/delivery":
        queries += [
            f"?event_sink_id={foreign['sink']}",
            "?detection_alert_id=acmes-alert",
            "?state=failed",
            "?reason=own",
        ]
    for query in queries:
        assert b"own" in api.get(f"/{path}{query}").content
        response = globex_api.get(f"/{path}{query}")
        assert response.status_code == 200
        for text in ("own", "acme", *map(str, foreign.values())):
            assert text not in response.content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_a_token_of_another_tenants_list_shows_nothing_of_theirs(
    globex_api, api, foreign, make_webhook, make_alert, path
):
    make_webhook()
    make_alert()
    body = {"reason": "r", "author": "a", "ends_at": (timezone.now() + timedelta(hours=1)).isoformat()}
    assert api.post("/v1/silence", body).status_code == 200
    for sink in Destination.objects.filter(replays=None):
        replays.start(sink, since=timezone.now())
    token = api.get(f"/{path}?page_size=1").json()["pagination"]["next_page_token"]
    assert token
    response = globex_api.get(f"/{path}?page_token={token}")
    assert response.status_code == 200
    assert "acme" not in response.content.decode().lower()


@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_no_tenant_may_look_after_tenants_not_even_itself(api, globex_api, foreign, path):
    before = rows()
    asked = "/" + re.sub(r"\{\w+\}", str(foreign.get(FOR_OPERATORS[path])), path)
    for method in sorted(url_table()[path]):
        for who in (api, globex_api):
            response = who.send(method, asked, b"{}")
            assert response.status_code == 403, method
    assert rows() == before


@pytest.mark.parametrize("path", [*WITH_AN_ID, *LISTS, *BEGINS])
def test_an_operator_sees_nothing_of_a_tenant(operator_api, foreign, path):
    before = rows()
    asked = "/" + re.sub(r"\{\w+\}", str(foreign.get(WITH_AN_ID.get(path))), path)
    for method in sorted(url_table()[path]):
        response = operator_api.send(method, asked, b"{}")
        assert response.status_code == 403, method
        assert b"own" not in response.content
    assert rows() == before


@pytest.mark.parametrize("path", [*WITH_AN_ID, *LISTS, *BEGINS, *FOR_OPERATORS])
def test_without_a_key_it_can_not_be_told_what_is_there(nobody, foreign, path):
    asked = "/" + re.sub(r"\{\w+\}", str(foreign.get(WITH_AN_ID.get(path))), path)
    unknown = "/" + re.sub(r"\{\w+\}", str(uuid.uuid4()), path)
    for method in METHODS:
        response = nobody.send(method, asked, b"{}")
        assert response.status_code == 401, method
        assert response.content == nobody.send(method, unknown, b"{}").content


def test_a_preview_of_a_silence_looks_at_ones_own_alerts_only(globex_api, api, foreign):
    assert api.post("/v1/silence/preview", {}).json()["preview"]["matching"] == 1
    assert globex_api.post("/v1/silence/preview", {}).json()["preview"]["looked_at"] == 0


def test_a_silence_of_anothers_event_sink_is_not_found(globex_api, foreign):
    body = {"event_sink_id": str(foreign["sink"]), "reason": "r", "author": "a", "ends_at": "2030-01-01T00:00:00Z"}
    assert globex_api.post("/v1/silence", body).status_code == 404


def test_a_test_with_anothers_alert_names_the_field(globex_api, globex, foreign, make_webhook):
    sink = make_webhook("http://127.0.0.1:2/", tenant=globex)
    response = globex_api.post(f"/v1/event_sink/{sink.uuid}/test", {"detection_alert_id": "acmes-alert"})
    assert "detection_alert_id" in says(response, 400)["fields"][0]["field"]


def test_the_same_id_in_two_tenants_is_each_ones_own(api, globex_api, make_alert, acme, globex):
    make_alert(id="same", name="Acme's")
    make_alert(tenant=globex, id="same", name="Globex's")
    assert api.get("/v1/detection_alert/same").json()["detection_alert"]["name"] == "Acme's"
    assert globex_api.get("/v1/detection_alert/same").json()["detection_alert"]["name"] == "Globex's"
