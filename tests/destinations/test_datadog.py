"""Datadog: its own client takes our logs; limits hold to the byte; what it would throw away says so instead."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from datadog_api_client.configuration import Configuration
from datadog_api_client.v2.model.http_log_item import HTTPLogItem

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary, TooLarge
from eventsinks.destinations.datadog import MAX_EVENT, MAX_REQUEST
from tests.destinations.examples import (
    AT,
    assert_golden,
    make_audit,
    make_audits,
    make_message,
    make_response,
    make_traffic,
    make_type,
)

EXAMPLE = {
    "api_key": "f0a1b2c3d4e5f60718293a4b5c6d7e8f",
    "api_url": "https://http-intake.logs.datadoghq.eu/api/v2/logs",
    "service": "acme-net",
    "ddtags": "env:prod,team:blue",
    "hostname": "gw-1",
}
STATUSES = {
    "taken": (202,),
    "refused": (400, 413),
    "broken": (401, 403),
    "passing": (408, 429, 500, 503),
}
LIMITS = {"": 5_000_000}
KEY = {"api_key": EXAMPLE["api_key"]}


def sent(*messages, at=AT):
    """Return the bytes of the logs, unzipped."""
    return gzip.decompress(make_type("datadog").build(messages, at).body)


def log(message, at=AT):
    (item,) = json.loads(sent(message, at=at))
    return item


def read(status, body=b"", count=1, **headers):
    return make_type("datadog").read(make_response(status, body, **headers), make_audits(count))


@pytest.mark.guarantee("P1")
def test_the_request_is_the_golden_one():
    request = make_type("datadog").build([make_audit(), make_traffic()], AT)
    assert_golden("datadog/batch", request)


def test_datadogs_own_client_takes_every_log():
    for item in json.loads(sent(make_audit(), make_traffic(), make_message())):
        judged = HTTPLogItem(**item, _configuration=Configuration())
        assert judged.message == item["message"]
        assert judged.service == "acme-net"
        assert judged.ddtags == "env:prod,team:blue"
        assert judged.hostname == "gw-1"
        assert judged.to_dict()["event"] == item["event"]


def test_the_names_are_netbirds_where_none_are_given():
    request = make_type("datadog", {**KEY, "site": "datadoghq.com"}).build([make_audit()], AT)
    (item,) = json.loads(gzip.decompress(request.body))
    assert (item["service"], item["ddsource"]) == ("netbird", "netbird")
    assert not {"hostname", "ddtags"} & set(item)


def test_the_message_is_what_happened():
    assert log(make_audit())["message"] == "policy added"
    assert log(make_traffic())["message"] == "TYPE_END"
    assert log(make_message())["message"] == "Okta admin role granted outside office hours"


def test_an_event_in_another_schema_goes_on_in_that():
    item = log(make_audit(raw=b'{"class_uid":3004,"message":"Policy added"}', mapping="ocsf"))
    assert item["event"] == {"class_uid": 3004, "message": "Policy added"}
    assert item["message"] == "Policy added"
    assert log(make_audit(raw=b"{}", mapping="ocsf"))["message"] == "Audit"


def test_no_number_of_an_event_is_rounded():
    raw = b'{"id":"1","a":123456789012345678901234567890,"b":1.10,\n"c":0.1000000000000000055511151231257827021}'
    body = sent(make_audit(raw=raw))
    assert raw in body
    (item,) = json.loads(body, parse_float=Decimal)
    assert item["event"]["a"] == 123456789012345678901234567890


def test_the_zip_has_no_time_in_it():
    first, second = (make_type("datadog").build([make_audit()], AT).body for _ in range(2))
    assert first == second
    assert first[4:8] == bytes(4)


@pytest.mark.guarantee("P1")
@pytest.mark.parametrize(
    ("age", "restamped"),
    [
        (timedelta(hours=17, minutes=55) - timedelta(seconds=1), False),
        (timedelta(hours=17, minutes=55), False),
        (timedelta(hours=17, minutes=55, seconds=1), True),
        (timedelta(days=400), True),
        (timedelta(), False),
        (-timedelta(hours=1, minutes=55), False),
        (-timedelta(hours=1, minutes=55, seconds=1), True),
    ],
)
def test_an_event_that_datadog_would_drop_for_its_time_gets_ours_and_says_so(age, restamped):
    item = log(make_audit(occurred_at=AT - age))
    happened = (AT - age).isoformat()
    if restamped:
        assert (item["timestamp"], item["event_time"]) == (AT.isoformat(), happened)
        assert item["restamped"] is True
    else:
        assert item["timestamp"] == happened
        assert not {"event_time", "restamped"} & set(item)


@pytest.mark.parametrize("occurred_at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_no_time_is_too_odd(occurred_at):
    assert log(make_audit(occurred_at=occurred_at))["event_time"] == occurred_at.isoformat()


def padded(size):
    """Return an audit event whose log has exactly this many bytes."""
    room = size - len(sent(make_audit(meta={"x": ""}))) + 2  # the brackets are no part of it
    return make_audit(meta={"x": "p" * room})


@pytest.mark.guarantee("P1")
def test_a_log_is_cut_visibly_exactly_where_datadog_would_do_it_silently():
    for size in (MAX_EVENT - 1, MAX_EVENT):
        message = padded(size)
        assert len(sent(message)) == size + 2
        assert "truncated" not in log(message)
    message = padded(MAX_EVENT + 1)
    item = log(message)
    assert len(sent(message)) <= MAX_EVENT + 2
    assert (item["truncated"], item["truncated_from_bytes"]) == (True, len(message.data))
    assert message.data.decode().startswith(item["event_start"])
    assert len(item["event_start"]) > 100_000


@pytest.mark.parametrize("text", ["\x01" * 1_500_000, "東" * 700_000, '"\\' * 800_000])
def test_no_event_is_too_long_to_be_cut(text):
    assert len(sent(make_message(name=text[:10_000], description=text))) <= MAX_EVENT + 2


@pytest.mark.guarantee("P1")
def test_a_thousand_logs_are_one_request_and_one_more_is_not():
    for count in (999, 1_000):
        assert len(json.loads(sent(*make_audits(count)))) == count
    with pytest.raises(TooLarge):
        sent(*make_audits(1_001))


@pytest.mark.guarantee("P1")
def test_five_megabytes_are_one_request_and_one_byte_more_is_not():
    whole = [padded(MAX_EVENT - 1)] * 4
    rest = MAX_REQUEST - 4 * (MAX_EVENT - 1) - len("[,,,,]")
    assert len(sent(*whole, padded(rest - 1))) == MAX_REQUEST - 1
    assert len(sent(*whole, padded(rest))) == MAX_REQUEST
    with pytest.raises(TooLarge):
        sent(*whole, padded(rest + 1))


def test_a_batch_of_the_most_bytes_leaves_room_for_what_goes_around():
    limits = make_type("datadog").limits
    messages = make_audits(limits.max_events, meta={"x": "p" * 3_500})
    assert sum(len(message.data) for message in messages) <= limits.max_bytes
    assert len(sent(*messages)) <= MAX_REQUEST


@pytest.mark.parametrize("status", [200, 202])
def test_an_accepted_request_is_a_receipt(status):
    assert not read(status, b"{}").failures


@pytest.mark.guarantee("P1")
@pytest.mark.parametrize("status", [400, 413])
def test_what_is_refused_together_is_sent_in_halves_and_what_is_refused_alone_is_refused(status):
    said = b'{"errors":[{"detail":"Invalid JSON","status":"400","title":"Bad Request"}]}'
    with pytest.raises(TooLarge, match="Invalid JSON"):
        read(status, said, count=2)
    with pytest.raises(EventRefused, match="Invalid JSON"):
        read(status, said)


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_key_that_is_not_accepted_parks_the_destination(status):
    with pytest.raises(DestinationGone):
        read(status, b'{"errors":[{"detail":"Forbidden"}]}', count=3)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_trouble_is_tried_again_not_before_it_says(status):
    with pytest.raises(Temporary) as caught:
        read(status, retry_after="9", count=3)
    assert caught.value.retry_after == 9
    assert not isinstance(caught.value, TooLarge)
