"""PagerDuty: incidents open, are acknowledged and close; limits hold; no number is rounded."""

import json
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, Endpoints, EventRefused, Temporary
from eventsinks.destinations.pagerduty import PagerDutyConfig
from tests.destinations.examples import (
    AT,
    MESSAGE_ID,
    assert_golden,
    make_message,
    make_response,
    make_type,
)

EXAMPLE = {"integration_key": "R0ut1ngK3y5f0rAcm3sBlu3T3amX9876"}
STATUSES = {
    "taken": (202,),
    "plainer": (400, 413),
    "broken": (401, 403),
    "passing": (408, 429, 500, 502, 503, 504),
}
LIMITS = {"": 512_000, "payload.summary": 1_024, "dedup_key": 255, "links.*.href": 3_000}
MARKUP = None  # it shows plain text


def built(**changes):
    return make_type("pagerduty").build([make_message(**changes)], AT)


def event(**changes):
    return json.loads(built(**changes).body)


def read(status, body=b"", **headers):
    return make_type("pagerduty").read(make_response(status, body, **headers), [make_message()])


def refusal(*errors):
    said = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return orjson.dumps(said)


def test_the_trigger_is_the_golden_one():
    assert_golden("pagerduty/trigger", built())


def test_the_resolve_is_the_golden_one():
    assert_golden("pagerduty/resolve", built(status="resolved", dedup_key="okta-admin/jo.berg"))


@pytest.mark.parametrize(
    ("status", "action"),
    [("firing", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve")],
)
def test_the_status_of_an_alert_is_the_action(status, action):
    assert event(status=status)["event_action"] == action


def test_an_alert_that_says_no_status_triggers():
    assert event()["event_action"] == "trigger"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Fatal", "critical"),
        ("Critical", "critical"),
        ("High", "error"),
        ("Medium", "warning"),
        ("Low", "info"),
        ("Informational", "info"),
        ("Unknown", "warning"),
        ("Other", "warning"),
    ],
)
def test_a_severity_becomes_one_of_pagerdutys_four(ours, theirs):
    assert event(severity=ours)["payload"]["severity"] == theirs


@pytest.mark.guarantee("P5")
def test_all_that_is_said_of_an_incident_has_one_dedup_key():
    opened, closed = (
        event(dedup_key="rule/host"),
        event(dedup_key="rule/host", status="resolved", id="x"),
    )
    assert opened["dedup_key"] == closed["dedup_key"] == "rule/host"


def test_a_dedup_key_that_is_too_long_becomes_a_stable_short_one():
    summary = make_message().summary
    keys = [
        long_key(summary, "k" * 256),
        long_key(summary, "k" * 256),
        long_key(summary, "k" * 257),
    ]
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) <= 255 for key in keys)
    assert long_key(summary, "k" * 255) == "k" * 255


def long_key(summary, key):
    message = make_message()
    message.__dict__["summary"] = replace(summary, dedup_key=key)
    return json.loads(make_type("pagerduty").build([message], AT).body)["dedup_key"]


def test_an_event_without_a_dedup_key_is_named_by_its_id():
    assert long_key(make_message().summary, "") == str(MESSAGE_ID)


@pytest.mark.guarantee("P5")
def test_a_long_title_is_cut_with_an_ellipsis():
    assert event(name="é" * 1024)["payload"]["summary"] == "é" * 1024
    assert event(name="é" * 1025)["payload"]["summary"] == "é" * 1023 + "…"


def test_a_title_of_nothing_to_see_still_is_a_summary():
    assert event(name=" \n\x00")["payload"]["summary"] == "(untitled)"


def test_the_time_is_the_time_of_the_alert():
    assert event()["payload"]["timestamp"] == "2026-05-04T09:30:00.123456+00:00"


def test_no_number_of_the_details_is_rounded_and_no_key_moves():
    raw = (
        b'{"z":0.1000000000000000055511151231257827021,"name":"n","severity":"Low","id":"1",'
        b'"a":[9007199254740993,123456789012345678901234567890],"1.10":1.10}'
    )
    body = built(raw=raw).body
    assert raw in body
    details = json.loads(body, parse_float=Decimal)["payload"]["custom_details"]
    assert details["a"] == [9007199254740993, 123456789012345678901234567890]
    assert list(details) == ["z", "name", "severity", "id", "a", "1.10"]
    assert str(details["1.10"]) == "1.10"


def test_an_alert_that_is_too_large_goes_without_its_details():
    body = built(padding="x" * 512_000).body
    assert len(body) < 512_000
    assert "left out" in json.loads(body)["payload"]["custom_details"]["note"]


@pytest.mark.guarantee("P5")
def test_an_event_is_cut_exactly_where_pagerduty_would_refuse_it():
    room = 511_999 - len(built(padding="").body)
    largest, larger = built(padding="x" * room).body, built(padding="x" * (room + 1)).body
    assert len(largest) == 511_999
    assert b"left out" not in largest
    assert b"left out" in larger


def test_nothing_else_of_an_alert_can_make_the_event_too_large():
    huge = "東" * 600_000
    body = built(source=huge, description=huge, **{"View in Scanner": "https://x.example/" + huge}).body
    assert len(body) < 20_000


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "ftp://x.example", "https://u:p@x.example", "not a link", "", 7]
)
def test_a_link_that_no_one_should_follow_is_left_out(link):
    assert event(**{"View in Scanner": link})["links"] == []


@pytest.mark.parametrize("key", ["", "****", "a" * 31, "a" * 33, "a" * 31 + "-", "a" * 31 + "é", "a" * 32 + "\n"])
def test_what_is_no_integration_key_is_refused_and_not_repeated(key):
    with pytest.raises(ValidationError) as caught:
        PagerDutyConfig.model_validate({"integration_key": key})
    assert key in ("", "****") or key not in str(caught.value)


@pytest.mark.guarantee("P5")
def test_an_accepted_event_is_a_receipt():
    said = b'{"status":"success","message":"Event processed","dedup_key":"k"}'
    assert not read(202, said).failures


@pytest.mark.guarantee("P5")
def test_an_event_that_pagerduty_calls_invalid_is_refused_alone():
    with pytest.raises(EventRefused, match=r"summary. is missing"):
        read(400, refusal("'payload.summary' is missing or blank"))


@pytest.mark.parametrize(
    "body",
    [
        refusal("Length of 'routing_key' is incorrect (should be 32 characters)"),
        refusal("'event_action' is fine", "'routing_key' cannot contain non-alphanumeric characters."),
        b"Invalid routing key",
        b'{"status":"invalid key","message":"The integration key is not known"}',
    ],
)
def test_a_key_that_pagerduty_does_not_know_parks_the_destination(body):
    with pytest.raises(DestinationGone):
        read(400, body)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_closed_door_parks_the_destination(status):
    with pytest.raises(DestinationGone):
        read(status)


def test_an_event_too_large_for_pagerduty_is_refused_alone():
    with pytest.raises(EventRefused):
        read(413)


@pytest.mark.guarantee("P5")
@pytest.mark.parametrize("status", [302, 404, 408, 429, 500, 502, 503])
def test_trouble_is_tried_again_not_before_it_says(status):
    with pytest.raises(Temporary) as caught:
        read(status, retry_after="9")
    assert caught.value.retry_after == (None if status == 302 else 9)


def test_the_operator_can_send_it_elsewhere():
    endpoints = Endpoints(pagerduty="http://pagerduty.test/enqueue")
    request = make_type("pagerduty", endpoints=endpoints).build([make_message()], AT)
    assert request.url == "http://pagerduty.test/enqueue"


@pytest.mark.parametrize("source", [None, "", " "])
def test_the_source_is_what_the_alert_says_and_never_the_id_of_its_rule(source):
    """https://developer.pagerduty.com/docs/send-alert-event: the affected system, as a person reads it."""
    assert payload(source=source)["source"] == "eventsinks"
    assert payload(source="okta")["source"] == "okta"


def payload(**changes):
    request = make_type("pagerduty").build([make_message(**changes)], AT)
    return json.loads(request.body)["payload"]
