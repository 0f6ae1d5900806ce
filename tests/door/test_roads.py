"""Two roads: whatever is posted, the door answers as Django alone does, to the byte, and writes the same rows."""

from __future__ import annotations

import json
import re

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.event_types import EVENT_TYPES
from eventsinks.models import Delivery, Event
from tests.door.conftest import ALERTS

PATHS = {
    ALERTS: "detection_alert",
    "/api/events/audit": "audit",
    "/api/events/network-traffic": "network_traffic",
    "/api/events/proxy": "proxy",
}
FIRST = {key: type.examples[0] for key, type in EVENT_TYPES.items()}
MADE = re.compile(
    rb'"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"|"2026-[0-9T:.-]+Z"|:17[0-9]{17}'
)
GOOD = {"name": "n", "severity": "High"}
BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[1, {}, null]",
    b"{",
    b"[{]",
    b"\xff\xfe{}",
    b'\xef\xbb\xbf{"name": "n", "severity": "High", "id": "bom"}',
    {**GOOD, "id": "one"},
    {**GOOD, "id": "one", "name": "other"},
    {**GOOD, "tenant_id": "00000000-0000-0000-0000-000000000000"},
    {**GOOD, "event_sink_ids": []},
    {**GOOD, "event_sink_ids": ["00000000-0000-0000-0000-000000000000"]},
    {**GOOD, "event_sink_ids": ["x"]},
    {**GOOD, "status": "resolved", "dedup_key": "k"},
    {**GOOD, "staging": True},
    {**GOOD, "name": "é\u0000"},
    {**GOOD, "id": ""},
    {**GOOD, "timestamp": "2026-05-04T09:30:00+02:00"},
    {**GOOD, "timestamp": "yesterday"},
    {**GOOD, "timestamp": "0001-01-01T00:00:00+02:00"},
    {**GOOD, "timestamp": "9999-12-31T23:59:59-02:00"},
    {**GOOD, "timestamp": "1970-01-01T00:00:00Z"},
    {**GOOD, "timestamp": 0},
    {**GOOD, "timestamp": -1},
    {**GOOD, "name": "x" * 20_000},
    [GOOD, {**GOOD, "id": "two"}, {**GOOD, "id": "two"}, {**GOOD, "id": "two", "name": "other"}, {}],
    [{"name": 1}, 2],
]
HEADERS = [
    {},
    {"content_type": "application/json; charset=utf-8"},
    {"content_type": "application/json; charset=latin-1"},
    {"content_type": "text/plain"},
    {"content_type": None},
    {"content_type": "application/x-ndjson"},
    {"content_type": "application/cloudevents+json"},
    {"accept": "text/html"},
    {"accept": "application/json"},
    {"host": "elsewhere.example"},
    {"authorization": "Bearer es_" + "x" * 43},
    {"authorization": "Basic eA=="},
    {"cookie": "sessionid=x"},
]


def plain(answer):
    """Return an answer without what is made anew for each event."""
    length = dict.fromkeys((b"content-length", b"date"), b"")
    return (
        answer.status,
        [(name, length.get(name, value)) for name, value in answer.headers],
        MADE.sub(b"?", answer.body),
    )


def rows():
    """Return what was written, without what is made anew."""
    events = [
        (event.tenant.name, event.type, MADE.sub(b"?", bytes(event.data)), event.owed)
        for event in Event.objects.exclude(type="audit", data__contains=b"address").order_by("id")
    ]
    return events, list(Delivery.objects.order_by("id").values_list("state", "reason", "phase"))


def clear():
    Delivery.objects.all().delete()
    Event.objects.all().delete()


def compare(road, key, bodies, **options):
    """Post bodies on both roads, each to an empty log; assert that the answers and the rows are the same."""
    found = []
    for alone in (True, False):
        clear()
        found.append(([plain(road.post(key, body, alone=alone, **options)) for body in bodies], rows()))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", PATHS)
def test_good_and_bad_bodies_are_answered_alike(road, acme_key, make_webhook, path):
    make_webhook()
    road.learn(acme_key, path, FIRST[PATHS[path]])
    examples = [dict(example) for example in EVENT_TYPES[PATHS[path]].examples]
    compare(road, acme_key, [*BODIES, *examples, examples], path=path)


@pytest.mark.parametrize("headers", HEADERS)
def test_heads_are_answered_alike(road, acme_key, make_webhook, headers):
    make_webhook()
    road.learn(acme_key)
    line = json.dumps(GOOD).encode()
    for _ in range(2):  # the second time it is a head that is known, if it is one that can be
        compare(road, acme_key, [GOOD, line + b"\n" + line, [GOOD]], **headers)


def test_keys_without_the_scope_or_without_a_tenant_are_answered_alike(road, acme, acme_key, make_webhook):
    from eventsinks.actions.tenants import issue_key

    road.learn(acme_key)
    for key in (issue_key(acme, scopes=["event:write"])[1], issue_key(None)[1]):
        compare(road, key, [GOOD])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    documents=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.text(max_size=5),
                "severity": st.sampled_from(["High", "low", "?", None]),
                "id": st.sampled_from(["a", "b", "", None, 3]),
                "status": st.sampled_from(["firing", "resolved", "over"]),
                "dedup_key": st.sampled_from(["k", "l", None]),
                "tags": st.one_of(st.none(), st.lists(st.text(max_size=2), max_size=2)),
            },
        ),
        max_size=5,
    ),
    alone=st.booleans(),
)
def test_whatever_is_posted_is_answered_alike(road, acme_key, make_webhook, documents, alone):
    if not road.door._heads._headers:
        make_webhook()
        road.learn(acme_key)
    try:
        bodies = documents if alone else [orjson.dumps(documents)]
    except TypeError:
        return
    compare(road, acme_key, bodies)
