"""The schema's examples come true: each request is sent, and answered as its file says.

`GOLDEN=write .venv/bin/python -m pytest tests/api/schema` writes the answers anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.test import Client

from eventsinks.api.schema.examples import EXAMPLES
from eventsinks.event_types import event_type
from eventsinks.front.application import answer_healthz
from tests.api.conftest import Caller
from tests.api.schema.example_world import build_world, leave_world, meet_world
from tests.helpers.receiver import Receiver, answer

pytestmark = pytest.mark.django_db
FILES = sorted(EXAMPLES.rglob("*.json"))
GOLDEN = Path(__file__).parents[2] / "golden"
FOR_OPERATORS = ("tenant", "api_key")


@pytest.fixture
def receiver():
    """A far end that is down for alerts at night, and takes everything else."""
    down = answer(503, body=b"try later")
    with Receiver(lambda got: down if got.path.startswith("/alerts") else answer()) as made:
        yield made


@pytest.fixture
def world(settings, acme, acme_key, receiver, make_workspace, dispatcher):
    settings.SLACK_CLIENT_ID, settings.SLACK_CLIENT_SECRET = "1.2", "not-to-be-seen"
    settings.PUBLIC_URL = "https://events.example.com"
    return build_world(acme, receiver, make_workspace, dispatcher, Caller(acme_key).post)


def read(path):
    return json.loads(path.read_text())


def named(path):
    return f"{path.parent.name}_{path.stem}"


@pytest.mark.parametrize("path", [one for one in FILES if one.parent.name != "health"], ids=named)
def test_an_example_is_answered_as_it_says(path, world, acme_key, operator_key):
    example = read(path)
    asked = meet_world(example["request"], world)
    caller = Caller(operator_key if path.parent.name in FOR_OPERATORS else acme_key)
    response = caller.send(asked["method"], asked["path"], asked.get("body", b""))
    assert response.status_code == 200, response.content
    told = leave_world(response.json(), world)
    if os.environ.get("GOLDEN") == "write":
        path.write_text(json.dumps({**example, "response": told}, indent=2, ensure_ascii=False) + "\n")
    assert told == read(path)["response"]


def test_health_is_told_as_the_examples_say():
    assert json.loads(answer_healthz("GET").body) == read(EXAMPLES / "health" / "live.json")["response"]
    ready = Client().get("/readyz").json()
    assert {**ready, "broker": "ok"} == read(EXAMPLES / "health" / "ready.json")["response"]
    metrics = read(EXAMPLES / "health" / "metrics.json")["response"]
    assert metrics in Client().get("/metrics").content.decode()


@pytest.mark.parametrize(
    ("file", "kind", "number"),
    [
        ("detection_alert/create", "detection_alert", 1),
        ("audit_event/create", "audit", 1),
        ("network_traffic_event/create", "network_traffic", 0),
        ("proxy_event/create", "proxy", 0),
    ],
)
def test_an_event_in_the_examples_is_one_of_its_type(file, kind, number):
    assert read(EXAMPLES / f"{file}.json")["request"]["body"] == {**event_type(kind).examples[number]}


@pytest.mark.parametrize(("file", "golden"), [("create", "create_webhook"), ("update", "update_name")])
def test_an_event_sink_in_the_examples_is_a_golden_one(file, golden):
    example, wire = read(EXAMPLES / "event_sink" / f"{file}.json"), read(GOLDEN / "event_sink" / f"{golden}.json")
    sink, kept = example["response"]["event_sink"], wire["response"]["event_sink"]
    same = set(kept) - {"id", "tenant_id", "created_at", "updated_at", "configuration"}
    assert {name: sink[name] for name in same} == {name: kept[name] for name in same}
    ids = {"$ID": sink["id"], "$TENANT": sink["tenant_id"]}
    assert example["request"]["body"] == meet_world(wire["request"]["body"], ids)


def test_an_integration_in_the_examples_is_a_golden_one():
    for file, golden in (("create", "create"), ("get", "get")):
        told = read(EXAMPLES / "integration" / f"{file}.json")["response"]
        kept = read(GOLDEN / "netbird" / f"{golden}.json")["body"]
        same = set(kept) - {"id", "account_id", "created_at", "updated_at", "config"}
        assert {name: told[name] for name in same} == {name: kept[name] for name in same}
