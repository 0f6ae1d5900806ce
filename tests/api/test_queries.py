"""What a list is asked: times, and a field that it does not know, which is refused where the list is ours."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from uuid_utils.compat import uuid7

from eventsinks.models import Delivery
from eventsinks.models.delivery import make_least_id
from tests.api.conftest import fields_of, says

pytestmark = pytest.mark.django_db

OURS = ["delivery", "replay", "silence", "slack_integration", "detection_alert", "tenant", "api_key"]
GIVEN = [
    "/v1/event_sink",
    "/api/event-streaming",
    "/api/events/audit",
    "/api/events",
    "/api/events/network-traffic",
]


@pytest.fixture
def caller(api, operator_api):
    return lambda path: operator_api if path in ("tenant", "api_key") else api


@pytest.mark.parametrize("path", OURS)
def test_a_field_that_a_list_of_ours_does_not_know_is_named_beside_those_that_it_knows(caller, path, subtests):
    names = ("stat", "states", "State", "x" * 500, "page_sizes", "é", "\0", "format", "[]", "tenant_id]")
    for name, value in itertools.product(names, ("failed", "")):
        with subtests.test(name=name, value=value):
            refused = caller(path).get(f"/v1/{path}?{urlencode({name: value})}")
            says(refused, 400, "is not known; there is page_size, page_token")
            assert fields_of(refused) == [name[:300]]


@pytest.mark.parametrize("path", OURS)
def test_a_field_in_the_body_of_a_list_is_looked_at_too(caller, path):
    assert fields_of(caller(path).send("GET", f"/v1/{path}", {"stat": "failed"})) == ["stat"]
    assert fields_of(caller(path).get(f"/v1/{path}?pagination[size]=1")) == ["pagination.size"]


@pytest.mark.parametrize("path", GIVEN)
def test_a_list_whose_clients_are_not_ours_passes_over_what_it_does_not_know(api, path):
    assert api.get(f"{path}?sort_order=Name&stat=failed").status_code == 200


@pytest.mark.guarantee("O8")
@pytest.mark.parametrize("path", OURS)
def test_every_list_of_ours_pages_in_both_ways(caller, path):
    for query in ("page_size=1", "pagination[page_size]=1&pagination[page_token]="):
        assert caller(path).get(f"/v1/{path}?{query}").status_code == 200


@pytest.fixture
def made_at(make_webhook, make_alert):
    """Make a delivery at each of these moments; return their ids, as texts."""
    make_webhook()

    def make(*moments):
        found = []
        for moment in moments:
            make_alert()
            at = datetime.fromisoformat(moment)
            id = type(uuid7())(int=make_least_id(at).int + len(found) + 1)
            newest = Delivery.objects.order_by("-id").exclude(id__in=found).latest("id")
            Delivery.objects.filter(pk=newest.pk).update(id=id)
            found.append(id)
        return [str(id) for id in found]

    return make


def test_deliveries_are_found_by_when_they_were_made(api, made_at):
    first, second, third = made_at("2026-05-04T09:00:00Z", "2026-05-04T23:59:59Z", "2026-05-05T00:00:00Z")

    def found(**query):
        answer = api.get(f"/v1/delivery?{urlencode(query)}")
        assert answer.status_code == 200, answer.content
        return sorted(delivery["id"] for delivery in answer.json()["data"]["deliveries"])

    assert found(since="2026-05-04") == found(until="2026-05-05") == sorted([first, second, third])
    assert found(until="2026-05-04") == sorted([first, second])
    assert found(since="2026-05-05T00:00:00Z") == found(since="2026-05-05T02:00:00+02:00") == [third]
    assert found(since="2026-05-04T09:00:01Z", until="2026-05-04T23:59:59Z") == [second]
    assert found(since="2026-05-04", until="2026-05-05", state="failed") == []


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "1", "2026-05-04T09:00:00", "0000-00-00"])
@pytest.mark.parametrize("name", ["since", "until"])
def test_what_is_no_time_is_refused_at_its_field(api, name, value):
    refused = api.get(f"/v1/delivery?{name}={value}")
    says(refused, 400, "RFC 3339")
    assert fields_of(refused) == [name]


@pytest.mark.parametrize("value", ["0001-01-01", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "9999-12-31"])
def test_any_time_can_be_asked_for(api, value):
    for name in ("since", "until"):
        assert api.get(f"/v1/delivery?{name}={value}").status_code == 200


def test_a_stretch_that_ends_before_it_begins_is_refused(api):
    at = datetime(2026, 5, 4, tzinfo=UTC)
    query = urlencode({"since": at.isoformat(), "until": (at - timedelta(days=2)).isoformat()})
    says(api.get(f"/v1/delivery?{query}"), 400, "until must not be before since")


def test_another_tenants_silences_can_not_be_asked_for(api, globex):
    assert api.get(f"/v1/silence?tenant_id={globex.id}").status_code == 404
