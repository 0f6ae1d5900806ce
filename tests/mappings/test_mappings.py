"""Mappings: each event type in each shape is the golden one, and nothing of it is rounded or lost.

`GOLDEN=write .venv/bin/python -m pytest tests/mappings` writes the golden files anew.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsinks.event_types import EVENT_TYPES, EventType, event_type
from eventsinks.event_types.base import NotAcceptable, Summary
from eventsinks.mappings import MAPPINGS, mapping
from eventsinks.mappings.base import find_attacks, read_flow
from tests.destinations.examples import ACME, ALERT, AT, AUDIT, TRAFFIC

GOLDEN = Path(__file__).parent.parent / "golden" / "mappings"
PROXY = event_type("proxy").examples[1]
EXAMPLES: dict[str, dict[str, Any]] = {
    "detection_alert": ALERT,
    "audit": AUDIT,
    "network_traffic": {"id": "f-1", **TRAFFIC},
    "proxy": PROXY,
}
every_mapping = pytest.mark.parametrize("key", sorted(MAPPINGS))


def accepted(type, **changes):
    return event_type(type).accept(orjson.dumps({**EXAMPLES[type], **changes}), ACME)


def mapped(key, type, **changes):
    taken = accepted(type, **changes)
    return json.loads(mapping(key).written(event_type(type), taken.data, taken.occurred_at))


def test_every_event_type_has_an_example():
    assert set(EXAMPLES) == {key for key, found in EVENT_TYPES.items() if not found.ours}


@every_mapping
def test_a_mapping_says_what_it_is(key):
    found = mapping(key)
    assert found.key == key
    assert found.label
    assert type(found).__doc__


@pytest.mark.parametrize("type", sorted(EXAMPLES))
@every_mapping
def test_an_event_of_each_type_is_the_golden_one(key, type):
    text = json.dumps(mapped(key, type), indent=2, ensure_ascii=False) + "\n"
    path = GOLDEN / type / f"{key}.json"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_as_accepted_keeps_every_byte():
    raw = b'{"severity":"Low", "name":"n",\n "big":123456789012345678901234567890, "id":"1"}'
    assert mapping("as_accepted").written(event_type("detection_alert"), raw, AT) == raw


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, -(2**63), 2**53 + 1])
@every_mapping
def test_integers_of_64_bits_are_not_rounded(key, number):
    alert = accepted("detection_alert", big=number)
    text = mapping(key).written(event_type("detection_alert"), alert.data, AT).decode()
    assert f'"big":{number}' in text
    if number >= 0:
        traffic = accepted("network_traffic", tx_bytes=number, rx_bytes=number)
        written = mapping(key).written(event_type("network_traffic"), traffic.data, AT).decode()
        assert written.count(str(number)) >= 2


@every_mapping
def test_a_mapping_leaves_the_document_as_it_was(key):
    for type, example in EXAMPLES.items():
        before = json.dumps(example)
        mapping(key).mapped(event_type(type), example, AT)
        assert json.dumps(example) == before


class Unheard(EventType):
    key = "weather"
    label = "Weather"

    def accept(self, raw, tenant_id):
        raise NotImplementedError

    def summary(self, data, template=None, budget=None):
        return Summary(title="it rains")


@every_mapping
def test_an_event_type_of_tomorrow_is_mapped_too(key):
    text = json.dumps(mapping(key).mapped(Unheard(), {"id": "1", "wind": 7}, AT))
    assert '"wind": 7' in text


# --- Nothing is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("type", sorted(EXAMPLES))
@pytest.mark.parametrize("key", ["ocsf", "ecs"])
def test_what_has_no_field_is_kept_beside(key, type):
    strange = {"a": "", "b": [], "c": {"d": None, "e": 0}}
    text = json.dumps(mapped(key, type, strange=strange))
    assert json.dumps({"strange": strange})[1:-1] in text


# --- What the schemas ask for ---------------------------------------------------------------------

DROP = {"type": "TYPE_DROP", "timestamp": "2026-01-01T00:00:00Z"}
OCSF_REQUIRED = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}


@pytest.mark.parametrize(
    ("type", "changes", "class_uid", "activity_id", "more"),
    [
        ("detection_alert", {}, 2004, 1, "finding_info"),
        ("detection_alert", {"status": "acknowledged"}, 2004, 2, "finding_info"),
        ("detection_alert", {"status": "resolved"}, 2004, 3, "finding_info"),
        ("audit", {}, 3004, 1, "entity"),
        ("audit", {"activity_code": "group.update"}, 3004, 3, "entity"),
        ("audit", {"activity_code": "setupkey.revoke"}, 3004, 4, "entity"),
        ("audit", {"activity_code": "of.tomorrow"}, 3004, 99, "entity"),
        ("audit", {"activity_code": "user.block"}, 3001, 5, "user"),
        ("audit", {"activity_code": "user.delete"}, 3001, 6, "user"),
        ("audit", {"activity_code": "dashboard.login"}, 3002, 1, "user"),
        ("network_traffic", {}, 4001, 2, "src_endpoint"),
        ("network_traffic", {"events": [DROP]}, 4001, 5, "dst_endpoint"),
        ("network_traffic", {"events": []}, 4001, 6, "dst_endpoint"),
        ("proxy", {}, 4002, 6, "http_request"),
        ("proxy", {"method": "PROPFIND"}, 4002, 99, "http_response"),
    ],
)  # fmt: skip
def test_ocsf_has_what_its_class_requires(type, changes, class_uid, activity_id, more):
    event = mapped("ocsf", type, **changes)
    assert {*OCSF_REQUIRED, more} <= set(event)
    assert (event["class_uid"], event["activity_id"]) == (class_uid, activity_id)
    assert event["type_uid"] == class_uid * 100 + activity_id
    assert event["category_uid"] == class_uid // 1000
    assert event["metadata"]["version"] == mapping("ocsf").version == "1.3.0"
    assert event["metadata"]["product"]["vendor_name"]
    assert event["activity_name"]


@pytest.mark.parametrize("type", sorted(EXAMPLES))
def test_ecs_says_what_it_is_and_when(type):
    event = mapped("ecs", type)
    assert event["ecs"]["version"] == mapping("ecs").version == "8.11.0"
    assert datetime.fromisoformat(event["@timestamp"]).tzinfo
    assert event["event"]["dataset"] == f"eventsinks.{type}"
    assert event["event"]["kind"] in ("alert", "event")
    assert event["event"]["category"]
    assert event["event"]["type"]


def test_netbirds_shape_has_its_seven_fields_in_their_order():
    for type in EXAMPLES:
        assert list(mapped("netbird", type)) == [
            "timestamp", "message", "id", "initiator_id", "target_id", "meta", "reference",
        ]  # fmt: skip


def test_an_audit_event_that_gives_only_its_code_says_it_in_words_everywhere():
    assert mapped("netbird", "audit", activity=None)["message"] == "policy added"
    assert mapped("ocsf", "audit", activity=None)["message"] == "Policy added"
    assert mapped("ecs", "audit", activity=None)["message"] == "Policy added"


# --- The parts ------------------------------------------------------------------------------------


def test_what_goes_from_the_source_is_what_its_reporter_sent_or_received():
    counters = {"tx_bytes": 1, "tx_packets": 2, "rx_bytes": 3, "rx_packets": 4}
    assert read_flow({**counters, "direction": "EGRESS"}) == (1, 2, 3, 4)
    assert read_flow({**counters, "direction": "INGRESS"}) == (3, 4, 1, 2)
    assert read_flow({}) == (0, 0, 0, 0)


def test_tags_that_name_attacks_are_told_as_such():
    tags = [
        "tactics.ta0003.persistence",
        "techniques.t1098.001.additional_cloud_credentials",
        "techniques.t1",
        "x",
    ]
    assert find_attacks({"tags": tags}) == [
        (True, "TA0003", "Persistence"),
        (False, "T1098.001", "Additional cloud credentials"),
    ]


def test_an_address_is_an_ip_or_a_name_with_or_without_a_port():
    def ends(address):
        end = {**TRAFFIC["source"], "address": address}
        ocsf, ecs = mapped("ocsf", "network_traffic", source=end), mapped("ecs", "network_traffic", source=end)
        return ocsf["src_endpoint"], ecs["source"]

    for address, ip, port in [
        ("10.0.0.1:443", "10.0.0.1", 443),
        ("[fd00::1]:53", "fd00::1", 53),
        ("fd00::1", "fd00::1", None),
        ("10.0.0.1:0", "10.0.0.1", None),
    ]:
        for end in ends(address):
            assert (end["ip"], end.get("port")) == (ip, port)
    ocsf, ecs = ends("app.example.com:443")
    assert (ocsf["hostname"], ecs["address"]) == ("app.example.com", "app.example.com")
    assert "ip" not in ocsf
    assert "ip" not in ecs


# --- Whatever was accepted ------------------------------------------------------------------------

texts = st.text(max_size=8)
values = st.none() | st.booleans() | st.integers(0, 2**64 - 1) | texts
counts = st.none() | st.integers(0, 2**64 - 1)


def objects(required=None, **optional):
    """Return a strategy of objects that have these keys, some of them perhaps as null."""
    return st.fixed_dictionaries(
        required or {}, optional={name: st.none() | value for name, value in optional.items()}
    )


ends = objects(
    id=texts,
    name=texts,
    address=texts,
    os=texts,
    type=st.sampled_from(["PEER", "ROUTE"]),
    geo_location=objects(city_name=texts),
)
documents = {
    "audit": objects({"activity_code": texts}, meta=st.dictionaries(texts, values), target_id=texts),
    "network_traffic": objects(
        {"flow_id": texts, "source": ends, "destination": ends, "protocol": st.integers(0, 255)},
        rx_bytes=counts,
        tx_bytes=counts,
        num_of_drops=counts,
        user=objects(id=texts),
        policy=objects(name=texts),
        icmp=objects(type=st.integers(0, 255)),
        direction=st.sampled_from(["INGRESS", "EGRESS"]),
        window_start=st.just("2026-01-01T00:00:00Z"),
    ),
    "proxy": objects(
        {"method": texts, "host": texts, "path": texts, "status_code": st.integers(90, 610)},
        duration_ms=counts,
        source_ip=texts | st.just("2001:db8::1"),
        user_email=texts,
    ),
    "detection_alert": objects(
        {"name": texts, "severity": st.sampled_from(["Low", "other"])},
        tags=st.lists(texts | st.just("tactics.ta0001")),
        timestamp=st.integers(0, 2**60),
        results_table=values,
    ),
}


@pytest.mark.parametrize("type", sorted(EXAMPLES))
@settings(deadline=None, max_examples=60, database=None)
@given(data=st.data())
def test_whatever_was_accepted_can_be_mapped(type, data):
    raw = orjson.dumps(data.draw(documents[type]))
    kind = event_type(type)
    try:
        taken = kind.accept(raw, ACME)
    except NotAcceptable:
        return
    kind.summary(orjson.loads(taken.data))
    for found in MAPPINGS.values():
        assert json.loads(found.written(kind, taken.data, datetime(2026, 1, 1, tzinfo=UTC)))
