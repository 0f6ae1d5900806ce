"""One bad event costs none of the others, however it is bad and wherever events come in; and how they are sent."""

import codecs
import itertools
import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.api.broken_arrays import split_elements
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import ClientType, Message
from eventsinks.models import Event
from tests.api.netbird.examples import AUDIT, FLOW, PROXY
from tests.destinations.examples import make_type

pytestmark = pytest.mark.django_db
NDJSON = "application/x-ndjson"
ALERT = {"name": "Root login", "severity": "High"}
DOORS = {
    "/v1/detection_alert": ALERT,
    "/api/events/audit": AUDIT,
    "/api/events/network-traffic": FLOW,
    "/api/events/proxy": PROXY,
}
every_door = pytest.mark.parametrize("door", DOORS)
# Each is one bad event, in which it can be told where it ends.
BAD = {
    "a title cut in half": rb'{"name": "x\ud83d", "severity": "High", "activity_code": "x", "flow_id": "x"}',
    "a low surrogate alone": rb'{"name": "\udc00", "severity": "High"}',
    "a key cut in half": rb'{"\ud83d": 1}',
    "bytes of no text": b'{"name": "\xff\xfe", "severity": "High"}',
    "what could be a mark of UTF-16": b'\xff\xfe{"name": "x"}',
    "zeros first": b'\0\0{"name": "x"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\xbd", "severity": "High"}',
    "an overlong slash": b'{"name": "\xc0\xaf", "severity": "High"}',
    "NaN": b'{"name": "x", "severity": "High", "n": NaN}',
    "Infinity": b'{"name": "x", "severity": "High", "n": -Infinity}',
    "a number with a zero first": b'{"n": 01}',
    "a control character": b'{"name": "a\x01b", "severity": "High"}',
    "a NUL": b'{"name": "a\x00b", "severity": "High"}',
    "too deep": b'{"name": "x", "severity": "High", "n": ' + b"[" * 300 + b"]" * 300 + b"}",
    "far too deep": b'{"n": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    "single quotes": b"{'name': 'x', 'severity': 'High'}",
    "no colon": b'{"name" "x"}',
    "a comma too many": b'{"name": "x", "severity": "High",}',
    "nothing but a word": b"nope",
    "a text": b'"},{"',
    "a number": b"5",
    "null": b"null",
    "an array": b"[1, 2]",
    "an escape that is none": rb'{"name": "\x41"}',
    "garbage behind it": b'{"name": "x", "severity": "High"} x',
    "two in one": b'{"name": "x", "severity": "High"} {"name": "y", "severity": "High"}',
    "a text that looks like neighbours": rb'{"name": "],[{\"name\":\"y\",\"severity\":\"High\"},{\"", "n": NaN}',
}


def good(door, id, **more):
    """Return an event of the door, with this id."""
    return json.dumps({**DOORS[door], "id": id, **more}).encode()


def sent(api, door, documents, shape):
    """Send many; return the ids that were kept, and the indices that were rejected."""
    if shape == "array":
        response = api.post(door, b"[" + b", ".join(documents) + b"]")
    else:
        response = api.post(door, b"\n".join(documents), content_type=NDJSON)
    told = response.json()
    told = told.get("data", told)
    kept = sorted(Event.objects.values_list("key", flat=True))
    assert told["accepted"] == len(kept), response.content
    return kept, [rejected["index"] for rejected in told["rejected"]]


@every_door
@pytest.mark.parametrize("shape", ["array", "lines"])
def test_a_bad_event_costs_none_of_its_neighbours(api, door, shape, subtests):
    for (name, bad), at in itertools.product(BAD.items(), range(3)):
        with subtests.test(name, at=at):
            Event.objects.all().delete()
            documents = [good(door, "n1"), good(door, "n2")]
            documents.insert(at, bad)
            assert sent(api, door, documents, shape) == (["n1", "n2"], [at])


@every_door
def test_an_element_that_is_missing_costs_none_of_its_neighbours(api, door):
    documents = [b"", good(door, "n1"), b" ", good(door, "n2"), b""]
    assert sent(api, door, documents, "array") == (["n1", "n2"], [0, 2, 4])


@every_door
@pytest.mark.parametrize("shape", ["array", "lines"])
def test_an_event_that_is_too_large_costs_none_of_its_neighbours(api, door, shape, settings):
    settings.EVENTSINKS_MAX_EVENT_BYTES = 2_000
    documents = [good(door, "n1"), good(door, "n2", more="x" * 2_000), rb'{"\ud83d": "' + b"x" * 2_000 + b'"}']
    assert sent(api, door, documents, shape) == (["n1"], [1, 2])


@every_door
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_bad_and_wherever_the_good_ones_are_taken_and_the_bad_ones_named(api, door, data):
    Event.objects.all().delete()
    shape = data.draw(st.sampled_from(["array", "lines"]))
    plan = data.draw(st.lists(st.sampled_from([None, *BAD.values()]), min_size=1, max_size=6))
    texts = data.draw(st.lists(st.text(max_size=20), min_size=len(plan), max_size=len(plan)))
    documents = [
        bad or good(door, f"n{number}", more=[text, {text: text}])
        for number, (bad, text) in enumerate(zip(plan, texts, strict=True))
    ]
    kept, rejected = sent(api, door, documents, shape)
    assert kept == [f"n{number}" for number, bad in enumerate(plan) if bad is None]
    assert rejected == [number for number, bad in enumerate(plan) if bad is not None]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(json_values, max_size=6), st.sampled_from(["", " ", "\n\t"]), st.booleans())
def test_a_good_array_is_cut_where_json_cuts_it(values, space, is_ascii):
    written = [json.dumps(value, ensure_ascii=is_ascii).encode() for value in values]
    body = f"{space}[{space}".encode() + f"{space},{space}".encode().join(written) + f"{space}]{space}".encode()
    assert [element.strip() for element in split_elements(body, 100)] == written


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30) | st.text('[]{},"\\ a1', max_size=30).map(str.encode))
def test_whatever_is_cut_is_told_apart_or_refused(noise):
    try:
        found = split_elements(b"[" + noise, 10)
    except ValueError:
        return
    inside = noise[: noise.rindex(b"]")]
    assert b"".join(found).replace(b",", b"").strip() == inside.replace(b",", b"").strip() or len(found) == 10


@every_door
def test_an_array_whose_elements_can_not_be_told_apart_is_refused_and_nothing_is_kept(api, door, subtests):
    for tail in (b"", b",", b"}", b"] x", b"][1]", b', "x]', b",[]", b',{"a":[1}]', b',{"a":"x}]'):
        with subtests.test(tail=tail):
            response = api.post(door, b"[" + good(door, "n1") + tail)
            assert response.status_code == 400, response.content
            assert not Event.objects.exists()
            assert "byte" in response.json().get("message", "") + str(response.json().get("error"))


# --- Marks, charsets and media types ---------------------------------------------------------------


@every_door
def test_the_mark_of_utf_8_is_no_part_of_an_event(api, door):
    assert api.post(door, codecs.BOM_UTF8 + good(door, "n1")).status_code == 200
    assert bytes(Event.objects.get().data) == good(door, "n1")


@every_door
@pytest.mark.parametrize("shape", ["array", "lines", "files"])
def test_the_mark_of_utf_8_costs_no_event(api, door, shape):
    documents = [good(door, "n1"), good(door, "n2")]
    body = {
        "array": codecs.BOM_UTF8 + b"[" + b",".join(documents) + b"]",
        "lines": codecs.BOM_UTF8 + b"\r\n".join(documents),
        "files": b"".join(codecs.BOM_UTF8 + document + b"\n" for document in documents) + codecs.BOM_UTF8,
    }[shape]
    response = api.post(door, body, content_type="application/json" if shape == "array" else NDJSON)
    assert response.status_code == 200
    assert [bytes(event.data) for event in Event.objects.order_by("key")] == documents


@every_door
def test_another_encoding_is_refused_with_what_is_taken(api, door, subtests):
    encodings = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
    for encoding, content_type in itertools.product(encodings, ("application/json", NDJSON)):
        with subtests.test(encoding, content_type=content_type):
            response = api.post(door, good(door, "n1").decode().encode(encoding), content_type=content_type)
            assert response.status_code == 415
            assert "UTF-8" in response.content.decode()


@every_door
def test_another_charset_is_refused_with_what_is_taken(api, door, subtests):
    charsets = ("iso-8859-1", "utf-16", '"latin1"', "windows-1252", "nonsense")
    for charset, content_type in itertools.product(charsets, ("application/json", NDJSON)):
        with subtests.test(charset, content_type=content_type):
            response = api.post(door, good(door, "n1"), content_type=f"{content_type}; charset={charset}")
            assert response.status_code == 415
            assert "UTF-8" in response.content.decode()
            assert not Event.objects.exists()


@every_door
def test_utf_8_is_taken_by_each_of_its_names(api, door, subtests):
    for charset in ("utf-8", "UTF-8", '"UTF-8"', "utf8", "us-ascii"):
        with subtests.test(charset):
            content_type = f"application/json; Charset={charset}"
            assert api.post(door, good(door, charset), content_type=content_type).status_code == 200


NAMES_OF_LINES = (
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
    "application/x-json-lines",
    "APPLICATION/X-NDJSON",
    "text/x-ndjson",
    "application/stream+json",
)


@every_door
def test_lines_are_taken_by_each_of_their_names(api, door, subtests):
    for name in NAMES_OF_LINES:
        with subtests.test(name):
            Event.objects.all().delete()
            body = good(door, "n1") + b"\n" + good(door, "n2")
            assert api.post(door, body, content_type=name).json() not in (None, {})
            assert sorted(Event.objects.values_list("key", flat=True)) == ["n1", "n2"]


@every_door
@pytest.mark.parametrize(
    "name", ["application/vnd.acme+json", "application/ld+json; profile=x", "Application/X+JSON"]
)
def test_what_is_json_by_its_suffix_is_taken(api, door, name):
    assert api.post(door, good(door, "n1"), content_type=name).status_code == 200
    assert api.post(door, b"[" + good(door, "n2") + b"]", content_type=name).status_code == 200
    assert Event.objects.count() == 2


@every_door
def test_what_is_not_taken_is_refused_with_what_is(api, door, subtests):
    for name in ("text/plain", "text/json", "application/xml", "x+json", "a/b+json"):
        with subtests.test(name):
            response = api.post(door, good(door, "n1"), content_type=name)
            assert response.status_code == 415
            assert "application/x-ndjson" in response.content.decode()


# --- CloudEvents -----------------------------------------------------------------------------------

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def envelope(data, **more):
    return json.dumps(
        {"specversion": "1.0", "type": "a.b", "source": "/x", "id": "ce-1", "data": data, **more}
    ).encode()


@every_door
def test_an_envelope_of_cloudevents_stands_for_its_data(api, door):
    data = {name: value for name, value in DOORS[door].items() if name != "id"}
    assert api.post(door, envelope(data), content_type=ONE).status_code == 200
    event = Event.objects.get()
    assert event.key == "ce-1"
    assert json.loads(bytes(event.data)) == {"id": "ce-1", **data}
    assert api.post(door, envelope(data), content_type=f"{ONE}; charset=utf-8").status_code == 200
    assert Event.objects.count() == 1


def test_what_the_data_says_itself_is_kept_to_the_byte(api):
    data = b'{"id":"own", "timestamp": "2026-01-02T03:04:05Z","name":"x","severity":"High","n":1.10}'
    body = envelope(None, time="2020-01-01T00:00:00Z").replace(b"null", data)
    assert api.post("/v1/detection_alert", body, content_type=ONE).status_code == 200
    assert bytes(Event.objects.get().data) == data


def test_the_time_of_the_envelope_is_when_it_happened(api):
    api.post("/v1/detection_alert", envelope(ALERT, time="2020-01-01T00:00:00Z"), content_type=ONE)
    assert Event.objects.get().occurred_at.year == 2020


@every_door
def test_a_batch_of_cloudevents_is_many_events(api, door):
    batch = [
        envelope(DOORS[door] | {"id": "n1"}),
        envelope("no event"),
        rb'{"specversion": "1.0", "id": "x", "data": {"\ud83d": 1}}',
        b"{}",
        envelope(DOORS[door] | {"id": "n2"}),
    ]
    told = api.post(door, b"[" + b",".join(batch) + b"]", content_type=BATCH).json()
    told = told.get("data", told)
    assert [rejected["index"] for rejected in told["rejected"]] == [1, 2, 3]
    assert sorted(Event.objects.values_list("key", flat=True)) == ["n1", "n2"]


def test_what_is_no_envelope_is_an_event_itself(api):
    flat = {**ALERT, "id": str(uuid.uuid4())}
    assert api.post("/v1/detection_alert", flat, content_type=ONE).status_code == 200
    assert Event.objects.get().key == flat["id"]


# --- Times -----------------------------------------------------------------------------------------

TIMES = {**dict.fromkeys(("/v1/detection_alert", "/api/events/audit", "/api/events/proxy"), "timestamp")}


def at_time(door, id, text):
    """Return an event of the door that happened at `text`."""
    if door in TIMES:
        return {**DOORS[door], "id": id, TIMES[door]: text}
    return {**FLOW, "id": id, "events": [{**FLOW["events"][0], "timestamp": text}]}


@every_door
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31t12:00:00z", "2016-12-31T12:00:00+00:00"),
        ("2016-12-31", "2016-12-31T00:00:00+00:00"),
        ("2016-12-31 12:00:00.123456789+02:00", "2016-12-31T10:00:00.123456+00:00"),
    ],
)
def test_a_time_is_understood_and_kept_as_it_was_written(api, door, text, moment):
    event = at_time(door, "n1", text)
    assert api.post(door, event).status_code == 200
    kept = Event.objects.get()
    assert kept.occurred_at.isoformat() == moment
    assert json.loads(bytes(kept.data)) == event
    for type in DESTINATION_TYPES.values():  # and can be told everywhere
        if type.face == "integration" and not issubclass(type, ClientType):
            message = Message(uuid.uuid4(), kept.event_type, kept.tenant_id, kept.occurred_at, bytes(kept.data))
            make_type(type.key).build([message], kept.occurred_at)


def test_a_day_that_flows_are_looked_for_until_is_that_whole_day(api):
    door = "/api/events/network-traffic"
    for id, text in {
        "a": "2016-12-30T23:59:59Z",
        "b": "2016-12-31T00:00:00Z",
        "c": "2016-12-31T23:59:59Z",
    }.items():
        api.post(door, at_time(door, id, text))
    api.post(door, at_time(door, "d", "2017-01-01T00:00:00Z"))

    def found(query):
        return sorted(flow["id"] for flow in api.get(f"{door}?{query}").json()["data"])

    assert found("start_date=2016-12-31&end_date=2016-12-31") == ["b", "c"]
    assert found("end_date=2016-12-30") == ["a"]
    assert found("start_date=2016-12-31t23:59:59z") == ["c", "d"]
    assert found("start_date=2016-12-31T23:59:59 00:00&end_date=2016-12-31T23:59:60Z") == ["c", "d"]


# --- What is no event ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/event_sink", "/api/event-streaming"])
def test_every_other_body_is_read_in_the_same_encodings(api, path):
    bodies = {
        "/v1/event_sink": {"name": "x", "event_sink_args": {"Webhook": {"url": "https://example.com/"}}},
        "/api/event-streaming": {"platform": "firehose", "config": {}, "enabled": True},
    }
    body = json.dumps(bodies[path]).encode()
    plain = api.post(path, body)
    assert api.post(path, codecs.BOM_UTF8 + body).status_code == plain.status_code
    assert api.post(path, body, content_type="application/json; charset=iso-8859-1").status_code == 415
    assert api.post(path, body.decode().encode("utf-16")).status_code == 415
