"""Webhook: the accepted bytes go out untouched, signed so that an independent library agrees."""

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, Temporary
from eventsinks.destinations.webhook import WebhookConfig
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.secrets.signing import decode_key, make_secret
from tests.destinations.examples import (
    AT,
    MESSAGE_ID,
    assert_golden,
    make_message,
    make_response,
    make_type,
)

EXAMPLE = {
    "url": "https://hooks.acme.example/alerts?team=blue",
    "headers": {"x-api-key": "zebra-crossing-42", "X-Team": "blue team only"},
}
STATUSES = {
    "taken": (200, 201, 202, 204, 299),
    "broken": (401, 410),
    "passing": (301, 400, 403, 404, 408, 425, 429, 500, 502, 503, 504, 599),
}
MARKUP = None  # a machine reads the alert as it is
LIMITS = {}  # each receiver has its own
KEYS = (bytes(range(32)), b"an older key of thirty-two bytes")


def signed_now(*keys, **changes):
    return make_type("webhook", signing_keys=keys).build([make_message(**changes)], datetime.now(UTC))


def verify(key, request, body=None):
    verifier = standardwebhooks.Webhook("whsec_" + base64.b64encode(key).decode())
    return verifier.verify(request.body if body is None else body, dict(request.headers))


def config(**changes):
    return WebhookConfig.model_validate({**EXAMPLE, **changes}, context={"guard": AddressGuard()})


def test_the_request_is_the_golden_one():
    request = make_type("webhook", signing_keys=KEYS).build([make_message()], AT)
    assert_golden("webhook/detection_alert", request)


def test_the_body_is_what_was_accepted_to_the_byte():
    raw = b'{"z":1.10, "name":"n",\t"severity":"Low","a":123456789012345678901234567890,"id":"1"}'
    assert signed_now(KEYS[0], raw=raw).body == raw


@pytest.mark.guarantee("S11")
def test_an_independent_library_accepts_the_signature():
    assert verify(KEYS[0], signed_now(KEYS[0]))["severity"] == "High"


def test_while_keys_rotate_either_of_them_verifies():
    request = signed_now(*KEYS)
    assert [verify(key, request)["severity"] for key in KEYS] == ["High", "High"]


def test_a_secret_that_is_shown_to_people_verifies():
    secret = make_secret()
    request = signed_now(decode_key(secret))
    assert standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))


@pytest.mark.parametrize("change", ["key", "body", "id", "timestamp"])
def test_a_forged_request_does_not_verify(change):
    request = signed_now(KEYS[0])
    headers = dict(request.headers)
    if change == "id":
        headers["webhook-id"] = "another"
    if change == "timestamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    forged = request._replace(headers=tuple(headers.items()))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(KEYS[change == "key"], forged, request.body + b" " * (change == "body"))


@pytest.mark.guarantee("S11")
def test_a_later_try_has_the_same_id_and_another_time():
    destination = make_type("webhook", signing_keys=KEYS)
    first, later = (dict(destination.build([make_message()], at).headers) for at in (AT, AT.replace(hour=10)))
    assert first["webhook-id"] == later["webhook-id"] == str(MESSAGE_ID)
    assert int(later["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600


def test_the_headers_of_the_tenant_are_sent_as_they_are():
    headers = dict(signed_now(KEYS[0]).headers)
    assert headers["x-api-key"] == "zebra-crossing-42"
    assert headers["X-Team"] == "blue team only"


def test_a_content_type_of_the_tenant_replaces_ours():
    given = {**EXAMPLE, "headers": {"content-type": "application/vnd.acme+json"}}
    headers = make_type("webhook", given).build([make_message()], AT).headers
    types = [value for name, value in headers if name.lower() == "content-type"]
    assert types == ["application/vnd.acme+json"]


@pytest.mark.guarantee("S14")
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"webhook-SIGNATURE": "v1,x"},
        {"Content-Length": "0"},
        {"X Y": "x"},
        {"X-Key:": "x"},
        {"": "x"},
        {"X-Key": "a\r\nX-Injected: b"},
        {"X-Key": "a\nb"},
        {"X-Key": "a\0b"},
        {"X-Key": "東京"},
        {"X-Key": "x" * 9_000},
        {f"X-{number}": "x" for number in range(51)},
    ],
)
def test_a_header_that_is_not_the_tenants_to_set_is_refused(headers):
    with pytest.raises(ValidationError):
        config(headers=headers)


@pytest.mark.guarantee("S14")
def test_a_header_name_that_ends_in_a_line_break_is_refused():
    with pytest.raises(ValidationError):
        config(headers={"X-Key\n": "x"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8000/",
        "http://[::1]/",
        "http://169.254.169.254/latest/",
        "http://0x7f.1/",
        "https://user:pw@hooks.acme.example/",
        "ftp://hooks.acme.example/",
        "hooks.acme.example",
        "https://hooks.acme.example/a b",
    ],
)
def test_a_url_that_may_not_be_dialled_is_refused(url):
    with pytest.raises(ValidationError):
        config(url=url)


def test_one_header_can_change_while_the_others_stay_hidden():
    changed = config().apply_changes({"headers": {"x-api-key": "****", "X-Team": "red"}})
    assert changed.dump_revealed()["headers"] == {"x-api-key": "zebra-crossing-42", "X-Team": "red"}


def test_the_target_is_the_host_without_the_path():
    assert make_type("webhook").target() == "hooks.acme.example"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (410, DestinationGone),
        (401, DestinationGone),
        (302, Temporary),
        (404, Temporary),
        (500, Temporary),
    ],
)
def test_a_status_parks_the_destination_or_is_tried_again(status, expected):
    with pytest.raises(expected):
        make_type("webhook").read(make_response(status), [make_message()])


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_a_receipt(status):
    assert not make_type("webhook").read(make_response(status, b"whatever"), [make_message()]).failures
