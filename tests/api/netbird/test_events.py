"""The events of an account over /api/events: taken in, kept to the byte, and read back as NetBird shows them."""

from __future__ import annotations

import orjson
import pytest

from eventsinks.event_types import event_type
from eventsinks.event_types.activity_codes import ACTIVITIES
from eventsinks.event_types.audit import RFC3339
from eventsinks.models import Event, NetworkTraffic
from tests.api.netbird.examples import AUDIT, END, FLOW, take_audit, take_traffic
from tests.api.netbird.test_integrations import refused

pytestmark = pytest.mark.django_db
AUDITS, FLOWS, PROXY = "/api/events/audit", "/api/events/network-traffic", "/api/events/proxy"
EXAMPLES = {AUDITS: AUDIT, FLOWS: FLOW, PROXY: event_type("proxy").examples[1]}
TYPES = {AUDITS: "audit", FLOWS: "network_traffic", PROXY: "proxy"}
NEEDED = {AUDITS: "activity_code", FLOWS: "flow_id", PROXY: "host"}
NDJSON = "application/x-ndjson"
every_door = pytest.mark.parametrize("path", list(TYPES))


def listed(api, path):
    found = api.get(path).json()
    return found if path == AUDITS else found["data"]


def stored():
    return bytes(Event.objects.get().data)


# --- Taking in ------------------------------------------------------------------------------------


@every_door
def test_one_event_is_answered_as_it_will_be_read(api, path):
    response = api.post(path, EXAMPLES[path])
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json; charset=UTF-8"
    assert [response.json()] == listed(api, path)
    assert response.json()["id"] == EXAMPLES[path]["id"]


@every_door
@pytest.mark.parametrize("shape", ["array", "ndjson", "ndjson-crlf"])
def test_many_are_counted_and_the_broken_ones_named(api, path, shape):
    good = [orjson.dumps({**EXAMPLES[path], "id": id}) for id in ("x1", "x2", "x1")]
    documents = [good[0], b'{"id": "x3"}', good[1], good[2]]
    body = (
        b"[" + b",".join(documents) + b"]"
        if shape == "array"
        else {"ndjson": b"\n", "ndjson-crlf": b"\r\n"}[shape].join(documents)
    )
    response = api.post(path, body, content_type="application/json" if shape == "array" else NDJSON)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    (rejected,) = answer["rejected"]
    assert (rejected["index"], rejected["field"]) == (1, NEEDED[path])
    assert sorted(event["id"] for event in listed(api, path)) == ["x1", "x2"]


@every_door
def test_where_none_was_good_it_is_an_error(api, path):
    response = api.post(path, [{}, 5])
    assert response.status_code == 422
    assert response.json()["code"] == 422
    assert [one["index"] for one in response.json()["rejected"]] == [0, 1]
    assert not Event.objects.exists()


@every_door
def test_every_byte_stays_and_an_id_is_put_in_front_where_there_is_none(api, path):
    example = {key: value for key, value in EXAMPLES[path].items() if key != "id"}
    raw = b'\n { "surprise":[1e2,18446744073709551615,"\\u00e9"],  ' + orjson.dumps(example)[1:] + b"\n"
    id = api.post(path, raw).json()["id"]
    assert stored() == b'{"id":"%s","surprise"' % id.encode() + raw.strip().partition(b'"surprise"')[2]
    assert listed(api, path)[0]["surprise"] == [100.0, 18446744073709551615, "é"]


@every_door
def test_the_same_again_is_the_same_event_and_other_content_a_conflict(api, path):
    first = api.post(path, EXAMPLES[path]).json()
    assert api.post(path, EXAMPLES[path]).json() == first
    refused(api.post(path, {**EXAMPLES[path], "surprise": 1}), 409, "id: ")
    assert Event.objects.filter(type=TYPES[path]).count() == 1


def test_an_audit_id_is_a_text_also_where_it_came_as_a_number(api):
    assert api.post(AUDITS, {**AUDIT, "id": 10}).json()["id"] == "10"


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        (AUDITS, {"id": None}, "id"),
        (AUDITS, {"id": ""}, "id"),
        (AUDITS, {"id": True}, "id"),
        (AUDITS, {"id": "x" * 256}, "id"),
        (AUDITS, {"activity_code": None}, "activity_code"),
        (AUDITS, {"activity_code": ""}, "activity_code"),
        (AUDITS, {"timestamp": 5}, "timestamp"),
        (AUDITS, {"timestamp": "yesterday"}, "timestamp"),
        (AUDITS, {"timestamp": "2026-02-30T00:00:00Z"}, "timestamp"),
        (AUDITS, {"timestamp": "0001-01-01T00:00:00+10:00"}, "timestamp"),
        (AUDITS, {"meta": []}, "meta"),
        (AUDITS, {"initiator_id": 5}, "initiator_id"),
        (FLOWS, {"flow_id": None}, "flow_id"),
        (FLOWS, {"source": None}, "source"),
        (FLOWS, {"destination": {"id": 5}}, "destination.id"),
        (FLOWS, {"source": {"id": "x" * 256}}, "source.id"),
        (FLOWS, {"source": {"id": "\0"}}, "source.id"),
        (FLOWS, {"source": {"type": "TOASTER"}}, "source.type"),
        (FLOWS, {"source": {"geo_location": "here"}}, "source.geo_location"),
        (FLOWS, {"protocol": "tcp"}, "protocol"),
        (FLOWS, {"protocol": 256}, "protocol"),
        (FLOWS, {"protocol": -1}, "protocol"),
        (FLOWS, {"protocol": True}, "protocol"),
        (FLOWS, {"rx_bytes": -1}, "rx_bytes"),
        (FLOWS, {"rx_bytes": 1.5}, "rx_bytes"),
        (FLOWS, {"direction": "UP"}, "direction"),
        (FLOWS, {"events": [{"type": "TYPE_START"}]}, "events.0.timestamp"),
        (FLOWS, {"events": [{"type": "START", "timestamp": "2026-01-01T00:00:00Z"}]}, "events.0.type"),
        (FLOWS, {"events": [{"type": "TYPE_START", "timestamp": "now"}]}, "events.0.timestamp"),
        (FLOWS, {"window_end": "now"}, "window_end"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_at_its_field(api, path, change, field):
    refused(api.post(path, {**EXAMPLES[path], **change}), 422, f"{field}: ")
    assert not Event.objects.exists()
    assert not NetworkTraffic.objects.exists()


@every_door
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"5", b'{"a": NaN}', b'"x"', b"\xff", b"[" * 300, b"[", b"[1,"]
)
def test_what_is_no_json_is_a_bad_request_and_nothing_is_kept(api, path, body):
    assert refused(api.post(path, body), 400).startswith("couldn't parse JSON request")
    assert not Event.objects.exists()


@every_door
@pytest.mark.parametrize(
    ("body", "type", "status"),
    [
        (b"{\nnull\n", NDJSON, 400),
        (b"[nope, {]", "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b'{\n{"id":"x"}', NDJSON, 422),
        (b'[nope, {"id":"x"}]', "application/json", 422),
    ],
)
def test_many_of_which_none_is_json_are_a_bad_request(api, path, body, type, status):
    response = api.post(path, body, content_type=type)
    assert response.status_code == response.json()["code"] == status, response.content
    assert not Event.objects.exists()


@every_door
def test_too_much_is_too_large(api, path, settings):
    settings.EVENTSINKS_MAX_EVENT_BYTES = 2000
    refused(api.post(path, {**EXAMPLES[path], "x": "y" * 2000}), 413)
    refused(api.post(path, b"\n" * 5 + b"{}\n" * 10_001, content_type=NDJSON), 413)


# --- Audit, read back -----------------------------------------------------------------------------


def test_an_audit_event_is_read_as_the_page_shows_it(api, acme):
    take_audit(acme, {})
    for path in (AUDITS, "/api/events"):
        assert api.get(path).json() == [AUDIT]


def test_what_an_audit_event_does_not_say_is_filled_in_for_reading_and_not_in_what_is_kept(api, acme):
    raw = b'{"activity_code":"policy.add","meta":{"n":5,"b":true,"x":null,"d":{"a":1},"s":"t"}}'
    id = api.post(AUDITS, raw).json()["id"]
    (found,) = api.get(AUDITS).json()
    event = Event.objects.get()
    assert found == {
        "id": id,
        "timestamp": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "activity": "Policy added",
        "activity_code": "policy.add",
        "initiator_id": "",
        "initiator_name": "",
        "initiator_email": "",
        "target_id": "",
        "meta": {"n": "5", "b": "true", "x": "null", "d": '{"a":1}', "s": "t"},
    }
    assert stored() == b'{"id":"%s",' % id.encode() + raw[1:]


def test_a_code_that_nobody_knows_reads_as_netbird_says_it(api):
    assert len(ACTIVITIES) == 143
    assert api.post(AUDITS, {"activity_code": "of.tomorrow"}).json()["activity"] == "UNKNOWN_ACTIVITY"
    assert api.post(AUDITS, {"activity_code": "of.tomorrow", "activity": "x"}).json()["activity"] == "x"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-05-08T12:57:57.00483949Z", "2026-05-08T12:57:57.00483949Z"),
        ("2026-05-08T12:57:57+02:00", "2026-05-08T12:57:57+02:00"),
        ("2026-05-08T12:57:57", "2026-05-08T12:57:57Z"),
        ("2026-05-08", "2026-05-08T00:00:00Z"),
    ],
)
def test_a_time_is_read_as_it_was_said_if_every_client_can_read_it(api, given, read):
    assert api.post(AUDITS, {**AUDIT, "timestamp": given}).json()["timestamp"] == read


def test_audit_events_come_newest_first_also_those_that_came_late(api, acme):
    take_audit(acme, *({"id": str(day), "timestamp": f"2026-01-0{day}T00:00:00Z"} for day in (3, 1, 2)))
    assert [event["id"] for event in api.get(AUDITS).json()] == ["3", "2", "1"]


def test_no_more_than_ten_thousand_audit_events_are_read(api, acme, monkeypatch):
    monkeypatch.setattr("eventsinks.api.netbird.events.MOST", 3)
    take_audit(acme, *({"id": str(number)} for number in range(5)))
    assert [event["id"] for event in api.get(AUDITS).json()] == ["4", "3", "2"]


def test_where_nothing_happened_the_lists_are_empty(api):
    assert api.get(AUDITS).content == b"[]"
    assert api.get(FLOWS).json() == {
        "data": [],
        "page": 1,
        "page_size": 1000,
        "total_records": 0,
        "total_pages": 0,
        "total_capped": False,
    }


# --- Traffic, read back ---------------------------------------------------------------------------


def test_a_flow_is_read_as_the_page_shows_it(api, acme):
    take_traffic(acme, {})
    (found,) = api.get(FLOWS).json()["data"]
    ours = {"connection_type", "num_of_starts", "num_of_ends", "num_of_drops", "receive_timestamp"}
    ours |= {"window_start", "window_end"}
    assert {key: value for key, value in found.items() if key not in ours} == FLOW
    assert found["window_start"] == found["window_end"] == FLOW["events"][0]["timestamp"]
    assert (found["connection_type"], found["num_of_starts"], found["num_of_drops"]) == ("P2P", 1, 0)
    assert found["receive_timestamp"].endswith("Z")


def test_a_flow_that_says_little_has_every_field_that_netbird_always_says(api):
    little = {"flow_id": "f", "source": {}, "destination": {"name": "x"}, "protocol": 6}
    found = api.post(FLOWS, little).json()
    end = {
        "id": "",
        "type": "UNKNOWN",
        "name": "",
        "geo_location": {"city_name": "", "country_code": ""},
        "os": None,
        "address": "",
        "dns_label": None,
    }
    assert found == {
        **{key: value for key, value in found.items() if key in ("id", "receive_timestamp")},
        **dict.fromkeys(("window_start", "window_end"), found["receive_timestamp"]),
        "flow_id": "f",
        "source": end,
        "destination": {**end, "name": "x"},
        "protocol": 6,
        "reporter_id": "",
        "user": {"id": "", "email": "", "name": ""},
        "policy": {"id": "", "name": ""},
        "icmp": {"type": 0, "code": 0},
        "direction": "DIRECTION_UNKNOWN",
        "connection_type": "ROUTED",
        **dict.fromkeys(("rx_bytes", "rx_packets", "tx_bytes", "tx_packets"), 0),
        **dict.fromkeys(("num_of_starts", "num_of_ends", "num_of_drops"), 0),
        "events": [],
    }


@pytest.mark.parametrize(
    ("says", "window"),
    [
        ({"window_start": "2026-01-01T00:00:00Z"}, ("00", "00")),
        ({"window_end": "2026-01-01T01:00:00Z"}, ("01", "01")),
        ({"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-01T01:00:00Z"}, ("00", "01")),
        ({"events": [("TYPE_END", "05"), ("TYPE_START", "03"), ("TYPE_DROP", "04")]}, ("03", "05")),
        ({"window_end": "2026-01-01T09:00:00Z", "events": [("TYPE_START", "03")]}, ("03", "09")),
    ],
)
def test_a_flow_is_read_with_its_first_and_last_moment(api, says, window):
    happened = [{"type": type, "timestamp": f"2026-01-01T{hour}:00:00Z"} for type, hour in says.pop("events", ())]
    found = api.post(FLOWS, {**FLOW, "events": happened, **says}).json()
    assert (found["window_start"][11:13], found["window_end"][11:13]) == window


@pytest.mark.parametrize(
    "says",
    [
        {"window_start": "2026-01-01"},
        {"window_end": "2026-01-01 00:00:00"},
        {"receive_timestamp": "2026-01-01"},
        {"events": [{"type": "TYPE_END", "timestamp": "2026-01-01"}]},
    ],
)
def test_every_time_of_a_flow_is_read_as_a_date_time(api, says):
    found = api.post(FLOWS, {**FLOW, **says}).json()
    times = [found[name] for name in ("window_start", "window_end", "receive_timestamp")]
    times += [happened["timestamp"] for happened in found["events"]]
    assert [time for time in times if not RFC3339.fullmatch(time)] == []


def test_counters_of_64_bits_are_not_rounded(api):
    response = api.post(FLOWS, {**FLOW, "rx_bytes": 2**64 - 1, "tx_bytes": 2**63 + 1})
    assert b'"rx_bytes":18446744073709551615' in response.content
    assert b'"tx_bytes":9223372036854775809' in response.content


def test_what_a_flow_came_with_besides_is_read_back(api):
    found = api.post(FLOWS, {**FLOW, "source": {**END, "mac": "x"}, "surprise": {"a": 1}}).json()
    assert found["source"]["mac"] == "x"
    assert found["surprise"] == {"a": 1}


def happened(type, day):
    return {"type": type, "timestamp": f"{day}T00:00:00Z"}


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"events": [happened("TYPE_START", "2026-01-01"), happened("TYPE_END", "2026-01-02")]}, "2026-01-02"),
        ({"events": [], "window_start": "2026-01-03", "window_end": "2026-01-04T00:00:00Z"}, "2026-01-04"),
        ({"events": None, "window_start": "2026-01-03T00:00:00Z"}, "2026-01-03"),
        ({"events": None, "receive_timestamp": "2026-01-05T00:00:00Z"}, "2026-01-05"),
    ],
)  # fmt: skip
def test_a_flow_happened_when_the_last_thing_happened_to_it(acme, change, at):
    take_traffic(acme, change)
    assert str(Event.objects.get().occurred_at).startswith(at)
    assert NetworkTraffic.objects.get().occurred_at == Event.objects.get().occurred_at


def test_a_row_to_look_for_is_written_with_each_flow_and_with_no_other_event(acme, make_alert):
    take_traffic(acme, {"id": "1"}, {"id": "2"})
    take_traffic(acme, {"id": "1"})
    take_audit(acme, {})
    make_alert()
    assert list(NetworkTraffic.objects.order_by("pk").values_list("event__key", flat=True)) == ["1", "2"]


@pytest.mark.parametrize("type", ["audit", "network_traffic"])
def test_an_event_is_told_to_a_person(type):
    summary = event_type(type).summary({"audit": AUDIT, "network_traffic": FLOW}[type])
    assert summary.title == {"audit": "Route created", "network_traffic": "My Peer → My Peer"}[type]
    assert summary.facts
    assert summary.severity == "Informational"
