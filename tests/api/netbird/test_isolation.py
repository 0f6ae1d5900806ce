"""Nobody sees or touches what is another account's over /api: every path of the URL table, with every method.

A path that is new fails here until it is written down below how to ask it for what is foreign.
"""

from __future__ import annotations

import re

import pytest

from eventsinks.actions import configure
from eventsinks.models import ApiKey, Delivery, Destination, Event, NetworkTraffic, Tenant
from tests.api.netbird.examples import AUDIT, FLOW, PROXY, take, take_audit, take_traffic
from tests.api.netbird.test_integrations import refused
from tests.api.test_isolation import METHODS, OF_NETBIRD, url_table

pytestmark = pytest.mark.django_db
VERBS = ("", "/test", "/pause", "/resume", "/replay", "/position", "/signing_secret", "/rotate_secret")
WITH_AN_ID = [
    f"api/{path}/{{id}}{verb}" for path in ("event-streaming", "integrations/event-streaming") for verb in VERBS
]
AN_EVENT = "api/events/audit/{key}"  # its sender chose the id
WITH_AN_ID.append(AN_EVENT)
LISTS = [
    "api/event-streaming",
    "api/integrations/event-streaming",
    "api/events",
    "api/events/audit",
    "api/events/network-traffic",
    "api/events/proxy",
]


def table():
    return {path: methods for path, methods in url_table().items() if path.startswith(OF_NETBIRD)}


@pytest.mark.guarantee("S13")
def test_no_path_is_forgotten():
    assert set(table()) == {*WITH_AN_ID, *LISTS}
    assert all(table().values())


@pytest.fixture
def foreign(acme):
    """Something of everything, Acme's; return the number of its integration."""
    config = {"url": "https://own.acme.example/", "headers": '{"X-Key": "acmes-secret"}'}
    made = configure.create(acme, "generic_http", config, name="Acme's own")
    take_audit(acme, {"id": "acmes-event", "initiator_name": "Acme's own"})
    take_traffic(acme, {"id": "acmes-flow", "user": {"id": "acmes-user", "name": "Acme's own"}})
    take(acme, "proxy", PROXY, [{"id": "acmes-request", "user_id": "acmes-user", "host": "acme.example"}])
    return made.id


def rows():
    """Return everything there is."""
    models = (Destination, Delivery, Event, NetworkTraffic, ApiKey, Tenant)
    return [list(model.objects.order_by("pk").values()) for model in models]


def asked(path, id):
    if path == AN_EVENT:
        id = "of-nobody" if id == NONE else "acmes-event"
    return "/" + re.sub(r"\{\w+\}", str(id), path)


NONE = 987_654_321  # the id of nothing
BODIES = [b"", b"{}", b'{"enabled": false, "config": {"url": "https://mine.example/"}}', b"not json"]


@pytest.mark.guarantee("S13")
@pytest.mark.parametrize("path", WITH_AN_ID)
def test_what_is_another_accounts_is_not_found_with_any_method(api, globex_api, foreign, path):
    before = rows()
    for method in sorted(table()[path]):
        for body in BODIES:
            response = globex_api.send(method, asked(path, foreign), body)
            assert response.status_code == 404, (method, body, response.content)
            unknown = globex_api.send(method, asked(path, NONE), body)
            assert response.content == unknown.content.replace(b"%d" % NONE, b"%d" % foreign)
    assert rows() == before
    if "get" in {method.lower() for method in table()[path]}:
        assert api.get(asked(path, foreign)).status_code == 200


QUERIES = ["", "?page_size=50000", "?user_id=acmes-user", "?search=acme", "?protocol=6", "?start_date=2020-01-01"]


@pytest.mark.guarantee("S13")
@pytest.mark.parametrize("path", LISTS)
def test_a_list_never_shows_what_is_another_accounts(api, globex_api, foreign, path):
    for query in QUERIES:
        response = globex_api.get(f"/{path}{query}")
        assert response.status_code == 200
        assert b"acme" not in response.content.lower()
    assert b"acme" in api.get(f"/{path}").content
    assert b"acmes-secret" not in api.get(f"/{path}").content


@pytest.mark.parametrize(
    ("path", "example"),
    [("/api/events/audit", AUDIT), ("/api/events/network-traffic", FLOW), ("/api/events/proxy", PROXY)],
)
def test_the_same_id_in_two_accounts_is_each_ones_own(api, globex_api, path, example):
    for who, name in ((api, "acmes"), (globex_api, "globexs")):
        assert who.post(path, {**example, "surprise": name}).json()["surprise"] == name
    assert Event.objects.filter(key=example["id"]).count() == 2
    assert b"globexs" not in api.get(path).content
    assert b"acmes" not in globex_api.get(path).content


@pytest.mark.parametrize("path", [*WITH_AN_ID, *LISTS])
def test_an_operator_sees_nothing_of_an_account(operator_api, foreign, path):
    before = rows()
    for method in sorted(table()[path]):
        response = operator_api.send(method, asked(path, foreign), b"{}")
        assert response.status_code == 403, method
        assert b"acme" not in response.content.lower()
    assert rows() == before


@pytest.mark.parametrize("path", [*WITH_AN_ID, *LISTS])
def test_without_a_key_it_can_not_be_told_what_is_there(nobody, foreign, path):
    for method in METHODS:
        response = nobody.send(method, asked(path, foreign), b"{}")
        assert response.status_code == 401, method
        assert response.content == nobody.send(method, asked(path, NONE), b"{}").content


@pytest.mark.parametrize("path", [*WITH_AN_ID, *LISTS])
def test_another_account_named_in_the_query_is_refused_everywhere(globex_api, acme, foreign, path):
    refused(globex_api.get(f"{asked(path, foreign)}?account={acme.id}"), 403, "permission denied")
