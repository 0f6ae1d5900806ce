"""Datadog: its own client takes our logs; limits hold to the byte; what it would throw away says so instead."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from datadog_api_client import ApiClient
from datadog_api_client.configuration import Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary, TooLarge
from eventsinks.destinations.datadog import MAX_EVENT, MAX_REQUEST, SITES, DatadogConfig
from eventsinks.lib.addresses import AddressGuard
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
KEY = {"api_key": EXAMPLE["api_key"]}


def config(**changes):
    return DatadogConfig.model_validate({**KEY, **changes}, context={"guard": AddressGuard()})


def sent(*messages, at=AT):
    """Return the bytes of the logs, unzipped."""
    return gzip.decompress(make_type("datadog").build(messages, at).body)


def log(message, at=AT):
    (item,) = json.loads(sent(message, at=at))
    return item


def read(status, body=b"", count=1, **headers):
    return make_type("datadog").read(make_response(status, body, **headers), make_audits(count))


def test_the_request_is_the_golden_one():
    request = make_type("datadog").build([make_audit(), make_traffic()], AT)
    assert_golden("datadog", request)


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


def test_a_thousand_logs_are_one_request_and_one_more_is_not():
    for count in (999, 1_000):
        assert len(json.loads(sent(*make_audits(count)))) == count
    with pytest.raises(TooLarge):
        sent(*make_audits(1_001))


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


def test_we_know_every_site_that_datadogs_client_knows():
    servers = LogsApi(ApiClient(Configuration()))._submit_log_endpoint.settings["servers"]
    known = servers[0]["variables"]["site"]["enum_values"]
    assert set(known) == set(SITES)


@pytest.mark.parametrize(
    ("where", "host"),
    [
        ({"site": "datadoghq.eu"}, "http-intake.logs.datadoghq.eu"),
        ({"site": "datadoghq.com", "region": "us-east-1"}, "http-intake.logs.datadoghq.com"),
        ({"region": "us5"}, "http-intake.logs.us5.datadoghq.com"),
        ({"region": "eu"}, "http-intake.logs.datadoghq.eu"),
        ({"api_url": "https://logs.acme.example/api/v2/logs"}, "logs.acme.example"),
    ],
)
def test_where_can_be_said_in_several_ways(where, host):
    destination = make_type("datadog", {**KEY, **where})
    assert destination.target() == host
    assert destination.build([make_audit()], AT).url == f"https://{host}/api/v2/logs"
    assert config(**where).masked() == {"api_key": "****", **where}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"site": ""},
        {"site": "evil.example"},
        {"region": "us-east-1"},
        {"api_url": "https://http-intake.logs.datadoghq.eu"},
        {"api_url": "https://127.0.0.1/api/v2/logs"},
        {"api_url": "no url"},
    ],
)
def test_a_place_that_is_none_is_refused(where):
    with pytest.raises(ValidationError):
        config(**where)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "é", "****", "x" * 201])
def test_a_key_that_a_header_can_not_hold_is_refused(key):
    with pytest.raises(ValidationError):
        config(api_key=key, site="datadoghq.eu")


def test_a_new_place_takes_the_place_of_the_old():
    by_url = config(api_url=EXAMPLE["api_url"])
    by_site = by_url.changed({"site": "us3.datadoghq.com", "api_key": "****"})
    assert by_site.revealed() == {**KEY, "site": "us3.datadoghq.com"}
    assert by_site.changed({"api_url": EXAMPLE["api_url"]}) == by_url
    assert by_site.changed({"service": "x"}).site == "us3.datadoghq.com"
    assert by_site.changed({"region": "eu"}).url == EXAMPLE["api_url"]
