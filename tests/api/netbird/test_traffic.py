"""Looking for flows: every filter alone and together, every page, and every question that makes no sense."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.event_types.network_traffic import FlowShape
from eventsinks.models import NetworkTraffic
from eventsinks.models.traffic.network_traffic import find_shapes
from tests.api.netbird.examples import END, FLOW, take_traffic
from tests.api.netbird.test_integrations import refused

pytestmark = pytest.mark.django_db
PATH = "/api/events/network-traffic"


def at(hour, *types):
    return [{"type": type, "timestamp": f"2026-01-01T{hour:02}:00:00Z"} for type in types or ("TYPE_START",)]


@pytest.fixture
def flows(acme):
    """Four flows, from the newest to the oldest."""
    resource = {**END, "id": "db", "type": "HOST_RESOURCE", "name": "Database Œst", "address": "10.0.0.5:5432"}
    take_traffic(
        acme,
        {"id": "a", "user": {"id": "u1", "email": "Alice@Acme.example"}, "events": at(4)},
        {"id": "b", "user": {"id": "u2"}, "destination": resource, "events": at(3, "TYPE_START", "TYPE_END")},
        {"id": "c", "protocol": 17, "direction": "EGRESS", "reporter_id": "r2", "events": at(2, "TYPE_DROP")},
        {
            "id": "d",
            "protocol": 58,
            "source": {**END, "id": "p9"},
            "direction": None,
            "events": [],
            "num_of_drops": 3,
            "window_end": "2026-01-01T01:00:00Z",
        },
    )


def ask(api, **question):
    response = api.get(f"{PATH}?{urlencode(question)}")
    assert response.status_code == 200, response.content
    return response.json()


def ids(api, **question):
    return "".join(flow["id"] for flow in ask(api, **question)["data"])


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, "abcd"),
        ({"user_id": "u1"}, "a"),
        ({"user_id": "U1"}, ""),
        ({"reporter_id": "r2"}, "c"),
        ({"source_id": "p9"}, "d"),
        ({"source_id": END["id"]}, "abc"),
        ({"destination_id": "db"}, "b"),
        ({"protocol": "6"}, "ab"),
        ({"protocol": "TCP"}, "ab"),
        ({"protocol": "udp"}, "c"),
        ({"protocol": "icmpv6"}, "d"),
        ({"protocol": "ipv6-icmp"}, "d"),
        ({"protocol": "icmp"}, ""),
        ({"protocol": "0"}, ""),
        ({"type": "TYPE_START"}, "ab"),
        ({"type": "TYPE_END"}, "b"),
        ({"type": "TYPE_DROP"}, "cd"),
        ({"type": "type_drop"}, "cd"),
        ({"type": "TYPE_UNKNOWN"}, ""),
        ({"connection_type": "ROUTED"}, "b"),
        ({"connection_type": "p2p"}, "acd"),
        ({"connection_type": "relay"}, "b"),
        ({"protocol": "all", "type": "ALL", "direction": "any", "connection_type": "all"}, "abcd"),
        ({"direction": "INGRESS"}, "ab"),
        ({"direction": "egress"}, "c"),
        ({"direction": "received"}, "ab"),
        ({"direction": "DIRECTION_UNKNOWN"}, "d"),
        ({"search": "alice@acme"}, "a"),
        ({"search": "ALICE"}, "acd"),
        ({"search": "database œ"}, "b"),
        ({"search": "0.5:5432"}, "b"),
        ({"search": "5432"}, "b"),
        ({"search": "0.5:54"}, "b"),
        ({"search": "0.5:432"}, ""),
        ({"search": "My Peer"}, "abcd"),
        ({"search": "%"}, ""),
        ({"search": "_"}, ""),
        ({"search": "\\"}, ""),
        ({"search": "'; DROP TABLE"}, ""),
        ({"start_date": "2026-01-01T03:00:00Z"}, "ab"),
        ({"start_date": "2026-01-01T03:00:00.001Z"}, "a"),
        ({"end_date": "2026-01-01T02:00:00Z"}, "cd"),
        ({"start_date": "2026-01-01T04:00:00+02:00", "end_date": "2026-01-01T04:00:00+01:00"}, "bc"),
        ({"start_date": "2026-01-01"}, "abcd"),
        ({"end_date": "2025-12-31T23:59:59Z"}, ""),
        ({"protocol": "6", "type": "TYPE_END", "direction": "INGRESS"}, "b"),
        ({"protocol": "6", "direction": "EGRESS"}, ""),
        ({"user_id": "u2", "search": "database", "connection_type": "ROUTED"}, "b"),
        ({"user_id": "", "search": "", "page": "", "protocol": ""}, "abcd"),
        ({"surprise": "x"}, "abcd"),
    ],
)
def test_each_filter_finds_what_it_says_and_all_must_hold(api, flows, question, found):
    assert ids(api, **question) == found


def test_a_plus_that_was_not_escaped_is_a_plus(api, flows):
    response = api.get(f"{PATH}?start_date=2026-01-01T04:00:00+01:00")
    assert [flow["id"] for flow in response.json()["data"]] == ["a", "b"]


def test_pages_follow_each_other_and_count(api, flows):
    first = ask(api, page_size=3)
    assert [flow["id"] for flow in first["data"]] == ["a", "b", "c"]
    assert {key: value for key, value in first.items() if key != "data"} == {
        "page": 1,
        "page_size": 3,
        "total_records": 4,
        "total_pages": 2,
        "total_capped": False,
    }
    assert ids(api, page=2, page_size=3) == "d"
    assert ask(api, page=2, page_size=3)["total_records"] == 4
    for page in (3, 2**31 - 1):
        beyond = ask(api, page=page, page_size=3)
        assert (beyond["data"], beyond["page"], beyond["total_records"]) == ([], page, 4)
    assert ask(api, page_size=50_000)["total_pages"] == 1
    assert ask(api, page_size=4)["total_records"] == 4
    assert ask(api, page_size=2, protocol="tcp")["total_records"] == 2


def test_what_lies_behind_the_bound_is_said_to_be_there_and_is_found_by_its_date(api, flows, monkeypatch):
    monkeypatch.setattr("eventsinks.api.netbird.traffic.MOST", 3)
    first = ask(api, page_size=2)
    assert (first["total_records"], first["total_pages"], first["total_capped"]) == (3, 2, True)
    assert ids(api, page=2, page_size=2) == "c"
    assert ids(api, page=3, page_size=2) == ""
    assert ids(api, end_date="2026-01-01T01:30:00Z") == "d"
    assert not ask(api, protocol=6)["total_capped"]


def test_a_search_counts_what_it_needs_for_the_next_page_and_a_little_more(api, flows, monkeypatch):
    monkeypatch.setattr("eventsinks.api.netbird.traffic.COUNTED", 2)
    told = [ask(api, search="my peer", page=page, page_size=1) for page in (1, 2, 3, 4, 5)]
    assert [page["total_records"] for page in told] == [2, 3, 4, 4, 4]
    assert [page["total_capped"] for page in told] == [True, True, False, False, False]
    assert [len(page["data"]) for page in told] == [1, 1, 1, 1, 0]


def test_flows_of_the_same_moment_keep_their_order_over_pages(api, acme):
    take_traffic(acme, *({"id": f"{number}"} for number in range(9)))
    assert "".join(ids(api, page=page, page_size=2) for page in range(1, 6)) == "876543210"


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"page": "0"}, "page"),
        ({"page": "-1"}, "page"),
        ({"page": ["1", ""]}, "page"),
        ({"type": ["TYPE_START", "TYPE_END"]}, "type"),
        ({"page": "x"}, "page"),
        ({"page": "1.5"}, "page"),
        ({"page": "9" * 40}, "page"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "50001"}, "page_size"),
        ({"protocol": "carrier pigeon"}, "protocol"),
        ({"protocol": "256"}, "protocol"),
        ({"protocol": "-1"}, "protocol"),
        ({"protocol": "٦"}, "protocol"),
        ({"type": "START"}, "type"),
        ({"connection_type": "tunnel"}, "connection_type"),
        ({"protocol": "0.6"}, "protocol"),
        ({"direction": "up"}, "direction"),
        ({"start_date": "soon"}, "start_date"),
        ({"start_date": "2026-02-30T00:00:00Z"}, "start_date"),
        ({"end_date": "1767225600"}, "end_date"),
        ({"end_date": "9999-12-31T23:59:59-10:00"}, "end_date"),
        ({"search": "\0"}, "search"),
        ({"search": "x" * 1001}, "search"),
        ({"user_id": "\0"}, "user_id"),
        ({"user_id": "x" * 1001}, "user_id"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(api, question, field):
    refused(api.get(f"{PATH}?{urlencode(question, doseq=True)}"), 422, f"{field}: ")


names = [
    "page",
    "page_size",
    "user_id",
    "protocol",
    "type",
    "connection_type",
    "direction",
    "search",
    "start_date",
]


@settings(
    deadline=None, max_examples=80, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(question=st.dictionaries(st.sampled_from(names), st.text(max_size=12), max_size=4))
def test_any_question_is_answered_or_refused(api, question):
    query = "&".join(f"{name}={quote(value.encode(errors='replace'))}" for name, value in question.items())
    response = api.get(f"{PATH}?{query}")
    assert response.status_code in (200, 422)


def test_a_shape_is_its_number_and_the_other_way_round():
    for shape in (FlowShape(0, 0, 0, 0), FlowShape(255, 15, 2, 2), FlowShape(6, 2, 1, 1), FlowShape(17, 8, 2, 2)):
        assert FlowShape.of(shape.number) == shape
        assert 0 <= shape.number < 2**16


def test_the_shapes_of_a_tenant_are_its_own_and_each_is_there_once(acme, globex, flows):
    take_traffic(globex, {"id": "x", "protocol": 1})
    assert find_shapes(acme) == sorted({row.shape for row in NetworkTraffic.objects.filter(tenant=acme)})
    assert [FlowShape.of(number).protocol for number in find_shapes(globex)] == [1]


def test_names_of_any_length_and_in_any_letters_are_indexed(api, acme):
    take_traffic(
        acme, {"id": "x", "user": {"id": "é" * 255, "email": "x" * 10_000}, "source": {**END, "name": "a\0b"}}
    )
    assert ids(api, user_id="é" * 255) == "x"
    assert ids(api, search="x" * 1000) == "x"
    assert FLOW["id"] != "x"
