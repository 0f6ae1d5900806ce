"""Generic HTTP: NetBird's shape to the letter, templates that stay JSON, headers that are hidden and kept."""

import json

import pytest

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from tests.destinations.examples import (
    ALERT,
    AT,
    assert_golden,
    in_shape,
    make_audit,
    make_message,
    make_response,
    make_traffic,
    make_type,
)

TOKEN = "nb-9f1c-quite-secret"
EXAMPLE = {
    "url": "https://ingest.acme.example/services/collector/event",
    "headers": json.dumps({"Authorization": f"Bearer {TOKEN}", "X-Index": "network-blue"}),
    "body_template": '{"time": {{.Timestamp.UnixNano}}, "event": {"what": "{{.Message}}", "meta": {{.Meta}}}}',
}
STATUSES = {
    "taken": (200, 201, 202, 204),
    "refused": (400, 413, 422),
    "broken": (401, 410),
    "passing": (301, 302, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504),
}
LIMITS = {}  # each receiver has its own
PLAIN = {"url": EXAMPLE["url"]}


def body(message, template=None):
    given = {**PLAIN, "body_template": template} if template else PLAIN
    shaped = message if message.mapped else in_shape("netbird_http", message)
    return make_type("generic_http", given).build([shaped], AT).body.decode()


def test_an_audit_event_is_the_golden_one():
    assert_golden(
        "generic_http/audit", make_type("generic_http", PLAIN).build([in_shape("netbird_http", make_audit())], AT)
    )


def test_a_flow_is_the_golden_one():
    assert_golden(
        "generic_http/traffic",
        make_type("generic_http", PLAIN).build([in_shape("netbird_http", make_traffic())], AT),
    )


@pytest.mark.guarantee("P6")
def test_a_filled_in_template_is_the_golden_one():
    assert_golden("generic_http/template", make_type("generic_http").build([make_audit()], AT))


def test_an_alert_is_told_by_its_name_and_goes_on_whole_in_meta():
    raw = b'{"name":"n","severity":"Low","id":"1","big":123456789012345678901234567890}'
    told = json.loads(body(make_message(raw=raw)))
    assert (told["ID"], told["Message"]) == ("1", "n")
    assert told["meta"] == json.loads(raw)


@pytest.mark.parametrize(
    ("id", "expected"), [("22456950", 22456950), ("0", 0), ("007", "007"), ("9" * 30, "9" * 30), ("t-1", "t-1")]
)
def test_the_id_of_an_audit_event_is_a_number_where_it_can_be_one(id, expected):
    assert json.loads(body(make_audit(id=id)))["ID"] == expected


@pytest.mark.parametrize("shape", ["as_accepted", "netbird", "netbird_http"])
@pytest.mark.parametrize("make", [make_audit, make_traffic, make_message])
def test_a_template_names_the_same_fields_in_whichever_shape_of_netbirds_or_none(shape, make):
    template = "{{.ID}} {{.Timestamp}} {{.Message}} {{.InitiatorID}} {{.TargetID}} {{.Meta}} {{.Reference}}"
    kind = make_type("generic_http", {**PLAIN, "body_template": template})
    expected, told = (kind.build([message], AT).body for message in (make(), in_shape(shape, make())))
    assert told.decode().replace(" ", "") == expected.decode().replace(" ", "")


@pytest.mark.parametrize("make", [make_audit, make_traffic, make_message])
def test_what_was_accepted_goes_on_to_the_byte(make):
    raw = b'{ "id":"1", "activity_code":"a.b",\n"n": 1.10 }'
    message = make(raw=raw) if make is make_audit else make()
    assert make_type("generic_http", PLAIN).build([message], AT).body == message.data


def test_an_event_with_nothing_in_it_has_all_seven_fields():
    for message in (make_audit(raw=b"{}"), make_traffic(raw=b'{"events":[],"source":null,"user":7}')):
        told = json.loads(body(message))
        assert list(told) == ["ID", "Timestamp", "Message", "InitiatorID", "target_id", "meta", "reference"]
        assert told["Timestamp"] == "2026-05-04T09:30:15.250000Z"


@pytest.mark.parametrize("said", ["2026-02-30T00:00:00Z", "yesterday", 7, None, "2026-05-04T23:59:60Z"])
def test_a_time_that_is_none_is_replaced_by_the_one_we_know(said):
    message = make_audit(timestamp=said)
    assert json.loads(body(message))["Timestamp"] == "2026-05-04T09:30:15.250000Z"
    assert body(message, "{{.Timestamp.UnixNano}}") == "1777887015250000000"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.ID}} {{.Message}} by {{.InitiatorID}}", "90210 policy added by okta|jo.berg"),
        ("{{ .TargetID -}}  , {{- .Reference }}.", "cqk2v1,."),
        ("{{.Meta.ports}}|{{.Meta.nothing}}|{{.Meta.ports.deeper}}", "22, 443||"),
        ("{{.Timestamp.UnixNano}}", "1777886998004839490"),
        ("{{.Timestamp}}", "2026-05-04T09:29:58.00483949Z"),
        ('{{.Timestamp.Format "2006-01-02T15:04:05.999Z07:00"}}', "2026-05-04T09:29:58.004Z"),
        ("{{.Timestamp.Format `Mon Jan _2 3:04PM`}}", "Mon May  4 9:29AM"),
        ("[{{.Timestamp}}] {{.Message}}", "[2026-05-04T09:29:58.00483949Z] policy added"),
        ("no place to fill in", "no place to fill in"),
    ],
)
def test_a_template_is_filled_in(template, expected):
    assert body(make_audit(), template) == expected


def test_values_are_json_in_json_and_never_html():
    template = (
        '{"a":{{.ID}},"b":"{{.ID}}","c":{{.Meta.name}},"d":"x {{.Meta.name}}","e":"{{.Meta}}","f":{{.Meta.no}}}'
    )
    name = 'Zoë\'s "lab" <東京>'
    meta = {"name": name, "ports": "22, 443"}
    filled = json.loads(body(make_audit(), template))
    assert json.loads(filled.pop("e")) == meta
    assert filled == {"a": 90210, "b": "90210", "c": name, "d": f"x {name}", "f": None}


def test_the_body_of_a_template_says_what_it_is():
    for template, expected in (('{"a":1}', "application/json"), ("hello", "text/plain; charset=utf-8")):
        request = make_type("generic_http", {**PLAIN, "body_template": template}).build([make_audit()], AT)
        assert dict(request.headers)["Content-Type"] == expected
    own = {**EXAMPLE, "headers": '{"content-type":"application/cloudevents+json"}'}
    request = make_type("generic_http", own).build([make_audit()], AT)
    assert [name for name, _ in request.headers] == ["content-type"]


def test_an_event_that_would_fill_more_than_there_is_room_for_is_refused():
    large = make_audit(meta={"name": "x" * 100_000})
    with pytest.raises(EventRefused, match="more than 5000000"):
        body(large, "{{.Meta}}" * 60)


@pytest.mark.guarantee("P6")
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, EventRefused),
        (413, EventRefused),
        (422, EventRefused),
        (401, DestinationGone),
        (410, DestinationGone),
        (302, Temporary),
        (404, Temporary),
        (429, Temporary),
        (503, Temporary),
    ],
)
def test_a_status_says_whose_fault_it_is(status, expected):
    with pytest.raises(expected):
        make_type("generic_http").read(make_response(status), [make_audit()])


def test_each_request_has_the_id_that_stays_and_a_signature():
    destination = make_type("generic_http", signing_keys=[bytes(32)])
    first, later = (dict(destination.build([make_audit()], at).headers) for at in (AT, AT.replace(hour=10)))
    assert first["webhook-id"] == later["webhook-id"]
    assert first["webhook-signature"] != later["webhook-signature"]


def test_an_event_in_another_schema_goes_on_in_that():
    raw = b'{"class_uid":3004, "message":"Policy added", "time":1777887000123456789}'
    message = make_audit(raw=raw, mapping="ocsf")
    assert body(message).encode() == raw
    assert body(message, "{{.Message}} {{.Meta.class_uid}} {{.Timestamp}}") == (
        "Policy added 3004 2026-05-04T09:30:15.250000Z"
    )


def test_an_alert_can_be_told_by_a_template():
    template = '{"id":"{{.ID}}","rule":{{.Meta.detection_rule_id}},"all":{{.Meta}}}'
    filled = json.loads(body(make_message(), template))
    assert filled["rule"] == ALERT["detection_rule_id"]
    assert filled["all"]["results_table"] == ALERT["results_table"]
