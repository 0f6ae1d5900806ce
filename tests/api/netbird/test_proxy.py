"""Requests to NetBird's reverse proxy: taken in, found by every filter, sorted, and paged."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.api.netbird import proxy
from eventsinks.mappings import MAPPINGS
from eventsinks.models import Event, ProxyAccess

pytestmark = pytest.mark.django_db
PATH = "/api/events/proxy"
REQUIRED = {
    **dict.fromkeys(("id", "service_id", "timestamp", "method", "host", "path", "source_ip", "reason"), str),
    **dict.fromkeys(("user_id", "auth_method_used", "country_code", "city_name"), str),
    **dict.fromkeys(("subdivision_code", "protocol"), str),
    **dict.fromkeys(("duration_ms", "status_code", "bytes_upload", "bytes_download"), int),
    "metadata": dict,
}


def request(number, **fields):
    made = {
        "id": f"{number}",
        "service_id": "s",
        "timestamp": f"2026-05-04T09:{number:02}:00Z",
        "method": "GET",
        "host": "wiki.example.com",
        "path": f"/page/{number}",
        "duration_ms": 100 - number,
        "status_code": 200,
        "source_ip": "203.0.113.7",
    }
    return {**made, **fields}


REQUESTS = [
    request(1),
    request(2, method="POST", status_code=403, reason="Authentication failed", user_id="u-1"),
    request(3, host="Shop.example.com", status_code=302, user_email="Jo@Example.com", user_name="Jo Doe"),
    request(4, source_ip="2001:db8::1", status_code=500, auth_method_used="oidc"),
    request(5, path="/Über?q=100%", status_code=101, duration_ms=None),
]


@pytest.fixture
def taken(api):
    answer = api.post(PATH, REQUESTS)
    assert answer.json() == {"accepted": 5, "duplicates": 0, "rejected": []}


def ids(api, question=""):
    answer = api.get(f"{PATH}?{question}")
    assert answer.status_code == 200, answer.content
    return [one["id"] for one in answer.json()["data"]]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("", "54321"),
        ("method=post", "2"),
        ("host=SHOP.example.com", "3"),
        ("path=/page/", "4321"),
        ("path=/PAGE/4", "4"),
        ("source_ip=2001:DB8:0::1", "4"),
        ("source_ip=::ffff:203.0.113.7", "5321"),
        ("path=100%25", "5"),
        ("path=_", ""),
        ("source_ip=2001:db8::1", "4"),
        ("user_id=u-1", "2"),
        ("user_email=jo@", "3"),
        ("user_name=DOE", "3"),
        ("status=success", "31"),
        ("status=failed", "542"),
        ("status_code=403", "2"),
        ("search=shop", "3"),
        ("search=203.0.113&status=failed", "52"),
        ("search=page/4", "4"),
        ("search=example.com/page/4", "4"),
        ("start_date=2026-05-04T09:04:00Z", "54"),
        ("end_date=2026-05-04T09:02:00Z", "21"),
        ("end_date=2026-05-04", "54321"),
        ("sort_by=timestamp&sort_order=asc", "12345"),
        ("sort_by=duration&sort_order=asc", "54321"),
        ("sort_by=status_code", "42315"),
        ("sort_by=host&sort_order=asc", "31245"),
        ("sort_by=url&sort_order=asc", "31245"),
        ("sort_by=method&sort_order=desc", "25431"),
        ("page=2&page_size=2", "32"),
        ("page=9&page_size=2", ""),
        ("search=", "54321"),
    ],
)
def test_each_filter_finds_what_it_says_and_all_must_hold(api, taken, question, found):
    assert "".join(ids(api, question)) == found


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("page=0", "page"),
        ("page_size=x", "page_size"),
        ("status=odd", "status"),
        ("status_code=1000", "status_code"),
        ("sort_by=size", "sort_by"),
        ("sort_order=up", "sort_order"),
        ("start_date=yesterday", "start_date"),
        ("search=%00", "search"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(api, question, field):
    answer = api.get(f"{PATH}?{question}")
    assert (answer.status_code, field in answer.json()["message"]) == (422, True)


def test_every_field_that_netbird_always_says_is_there_with_its_type(api):
    api.post(PATH, {"method": "GET", "host": "h", "path": "/", "status_code": 200, "bytes": 7})
    page = api.get(PATH).json()
    (told,) = page.pop("data")
    assert {name: type(told[name]) for name in REQUIRED} == REQUIRED
    assert told["bytes"] == 7
    assert page == {"page": 1, "page_size": 50, "total_records": 1, "total_pages": 1, "total_capped": False}


def test_what_is_no_request_is_refused_by_its_index_and_the_rest_is_taken(api):
    bad = [{**REQUESTS[0], "status_code": 1042}, {"method": "GET"}, REQUESTS[1]]
    counts = api.post(PATH, bad).json()
    assert (counts["accepted"], [one["index"] for one in counts["rejected"]]) == (1, [0, 1])
    assert counts["rejected"][0]["field"] == "status_code"


def test_the_same_request_twice_is_one(api, taken):
    assert api.post(PATH, REQUESTS[0]).status_code == 200
    assert api.post(PATH, {**REQUESTS[0], "path": "/other"}).status_code == 409
    assert ProxyAccess.objects.count() == Event.objects.filter(type="proxy").count() == 5


def test_lines_are_taken_too(api):
    lines = b"\n".join(json.dumps(one).encode() for one in REQUESTS)
    assert api.post(PATH, lines, content_type="application/x-ndjson").json()["accepted"] == 5


def test_another_tenant_sees_nothing_of_it(globex_api, taken):
    assert ids(globex_api) == []


def test_of_more_than_can_be_counted_the_newest_are_sorted(api, taken, monkeypatch):
    monkeypatch.setattr(proxy, "MOST", 3)
    page = api.get(f"{PATH}?sort_by=duration&sort_order=asc").json()
    assert [one["id"] for one in page["data"]] == ["5", "4", "3"]
    assert (page["total_records"], page["total_capped"]) == (3, True)


def test_what_went_through_as_tcp_is_taken_and_has_no_status(api):
    told = api.post(PATH, {"host": "db.example.com", "method": "", "status_code": 0, "protocol": "tcp"}).json()
    assert (told["method"], told["path"], told["status_code"], told["protocol"]) == ("", "", 0, "tcp")
    for mapping_key in MAPPINGS:
        event = Event.objects.get()
        assert MAPPINGS[mapping_key].written(event.event_type, bytes(event.data), event.occurred_at)


def test_metadata_is_read_as_texts_and_counts_are_numbers(api):
    told = api.post(PATH, {**REQUESTS[0], "metadata": {"a": 1}, "bytes_upload": 7}).json()
    assert (told["metadata"], told["bytes_upload"], told["bytes_download"]) == ({"a": "1"}, 7, 0)
    refused = api.post(PATH, {**REQUESTS[1], "metadata": 5})
    assert (refused.status_code, "metadata" in refused.json()["message"]) == (422, True)


def test_of_very_many_the_newest_are_read_for_what_no_index_answers(api, taken, monkeypatch):
    monkeypatch.setattr(proxy, "LOOKED_AT", 2)
    assert ids(api, "search=wiki") == ["5", "4"]
    assert ids(api, "search=wiki&end_date=2026-05-04T09:02:00Z") == ["2", "1"]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.dictionaries(st.sampled_from(list(proxy.ProxyQuery.model_fields)), st.text(max_size=20)))
def test_any_question_is_answered_or_refused(api, taken, question):
    assert api.client.get(PATH, question, headers=api.headers).status_code in (200, 422)
