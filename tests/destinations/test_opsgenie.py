"""Opsgenie: alerts open, are acknowledged and close under one alias; limits hold; no text is HTML."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.opsgenie import OpsgenieConfig
from tests.destinations.examples import (
    AT,
    MESSAGE_ID,
    TEMPLATED,
    assert_golden,
    make_message,
    make_response,
    make_type,
    with_summary,
)

EXAMPLE = {"api_key": "eb243592-faa2-4ba2-a551-1afdf565c889", "region": "eu"}
STATUSES = {
    "taken": (202,),
    "plainer": (400, 413, 422),
    "broken": (401, 402, 403),
    "passing": (429, 500, 502, 503, 504),
}
LIMITS = {"message": 130, "alias": 512, "description": 15_000, "source": 100, "tags.*": 50}
MARKUP = re.compile(r"<(?=[A-Za-z/!?])")  # a tag begins there


def built(message=None, **changes):
    return make_type("opsgenie").build([message or make_message(**changes)], AT)


def alert(message=None, **changes):
    return json.loads(built(message, **changes).body)


def read(status, body=b"", **headers):
    return make_type("opsgenie").read(make_response(status, body, **headers), [make_message()])


def assert_opsgenie_would_take(alert):
    """Hold an alert against https://docs.opsgenie.com/docs/alert-api#create-alert."""
    assert 0 < len(alert["message"]) <= 130
    assert 0 < len(alert["alias"]) <= 512
    assert len(alert["description"]) <= 15_000
    assert len(alert["tags"]) <= 20
    assert all(0 < len(tag) <= 50 for tag in alert["tags"])
    assert sum(len(name) + len(value) for name, value in alert["details"].items()) <= 8_000
    assert all(isinstance(value, str) for value in alert["details"].values())
    assert 0 < len(alert["source"]) <= 100
    assert alert["priority"] in ("P1", "P2", "P3", "P4", "P5")


def test_the_alert_is_the_golden_one():
    assert_golden("opsgenie/firing", built())


def test_the_resolved_alert_is_the_golden_one():
    assert_golden("opsgenie/resolved", built(status="resolved", dedup_key="okta-admin/jo.berg"))


def test_an_alert_with_a_template_and_rows_is_the_golden_one():
    assert_golden("opsgenie/templated", built(with_summary(**TEMPLATED)))


@pytest.mark.parametrize(("region", "host"), [("us", "api.opsgenie.com"), ("eu", "api.eu.opsgenie.com")])
def test_each_region_has_its_address(region, host):
    request = make_type("opsgenie", {**EXAMPLE, "region": region}).build([make_message()], AT)
    assert request.url == f"https://{host}/v2/alerts"


@pytest.mark.parametrize(("status", "action"), [("acknowledged", "acknowledge"), ("resolved", "close")])
def test_what_becomes_of_an_alert_is_said_of_its_alias(status, action):
    opened = alert(dedup_key="rule/host ?#é")
    url = built(dedup_key="rule/host ?#é", status=status, id="x").url
    assert opened["alias"] == "rule/host ?#é"
    assert url.endswith(f"/v2/alerts/rule%2Fhost%20%3F%23%C3%A9/{action}?identifierType=alias")


@pytest.mark.parametrize("key", ["k" * 513, "..", ".", "a\nb", "a  b"])
def test_a_dedup_key_that_opsgenie_would_not_take_becomes_a_stable_one(key):
    found = {alert(with_summary(dedup_key=key))["alias"] for _ in range(2)}
    assert all(re.fullmatch("[0-9a-f]{64}", alias) for alias in found)
    assert len(found) == 1


def test_an_event_without_a_dedup_key_is_named_by_its_id():
    assert alert(with_summary(dedup_key=""))["alias"] == str(MESSAGE_ID)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Fatal", "P1"),
        ("Critical", "P1"),
        ("High", "P2"),
        ("Medium", "P3"),
        ("Low", "P4"),
        ("Informational", "P5"),
        ("Unknown", "P3"),
        ("Other", "P3"),
    ],
)
def test_a_severity_becomes_a_priority(ours, theirs):
    assert alert(severity=ours)["priority"] == theirs


def test_a_long_title_is_cut_with_an_ellipsis():
    assert alert(name="x" * 130)["message"] == "x" * 130
    assert alert(name="x" * 131)["message"] == "x" * 129 + "…"


@settings(deadline=None, max_examples=60, database=None)
@given(
    title=st.text(),
    text=st.text(max_size=16_000),
    pairs=st.lists(st.tuples(st.text(), st.text(max_size=1_100)), max_size=30),
    tags=st.lists(st.text(), max_size=30),
)
def test_whatever_is_told_fits(title, text, pairs, tags):
    message = with_summary(title=title, text=text, info=tuple(pairs), tags=tuple(tags))
    assert_opsgenie_would_take(alert(message))


def test_an_alert_of_any_length_fits():
    letters = "\U0001f600" * 9_000
    rows = (("<b" * 500,) * 9,) * 99
    message = with_summary(
        title=letters,
        text=letters,
        source=letters,
        tags=(letters,) * 30,
        info=((letters, letters),) * 30,
        rows=rows,
    )
    assert_opsgenie_would_take(alert(message))


def test_nothing_of_an_event_is_a_tag():
    hostile = "<script>x</script> <img src=x onerror=y> <!-- a < b"
    found = alert(
        with_summary(title=hostile, text=hostile, source=hostile, info=((hostile, hostile),), tags=(hostile,))
    )
    assert not re.search(r"<[A-Za-z/!?]", json.dumps(found))
    assert "a < b" in found["description"]


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (401, b'{"message":"Could not authenticate"}', DestinationGone),
        (403, b'{"message":"Access denied"}', DestinationGone),
        (422, b'{"message":"Key format is not valid!"}', DestinationGone),
        (422, b'{"message":"Request body is not processable."}', EventRefused),
        (400, b"", EventRefused),
        (413, b"", EventRefused),
        (429, b"", Temporary),
        (500, b"", Temporary),
        (404, b"", Temporary),
    ],
)
def test_each_error_becomes_what_it_means(status, body, failure):
    with pytest.raises(failure) as raised:
        read(status, body)
    assert json.loads(body or b'{"message":""}')["message"] in raised.value.reason


def test_202_is_what_opsgenie_says_of_what_it_took():
    assert read(202, b'{"result":"Request will be processed"}').failures is None


@pytest.mark.parametrize("change", [{"api_key": "short"}, {"api_key": "x\r\n"}, {"region": "mars"}])
def test_what_can_be_no_key_or_region_is_refused(change):
    with pytest.raises(ValidationError):
        OpsgenieConfig.model_validate({**EXAMPLE, **change})
