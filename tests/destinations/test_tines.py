"""Tines: the bare event, to a webhook whose path is a secret."""

import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.tines import TinesConfig
from tests.destinations.examples import AT, assert_golden, make_message, make_response, make_type

EXAMPLE = {"tines_tenant": "quiet-river-1234", "path": "scanner-alerts/n0t_a-real-secret"}
STATUSES = {
    "taken": (200, 201, 202),
    "refused": (400, 413, 422),
    "broken": (403, 404),
    "passing": (429, 500, 503),
}
MARKUP = None  # a machine reads the alert as it is
LIMITS = {}  # a body may be larger than any alert is


def read(status):
    return make_type("tines").read(make_response(status), [make_message()])


def test_the_alert_is_the_golden_one():
    assert_golden("tines/firing", make_type("tines").build([make_message()], AT))


def test_the_resolved_alert_is_the_golden_one():
    assert_golden("tines/resolved", make_type("tines").build([make_message(status="resolved")], AT))


def test_the_event_goes_on_to_the_byte():
    raw = b'{"name":"n", "severity":"Low","big":123456789012345678901234567890.10,"id":"a"}'
    assert make_type("tines").build([make_message(raw=raw)], AT).body == raw


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, EventRefused),
        (413, EventRefused),
        (403, DestinationGone),
        (404, DestinationGone),
        (410, DestinationGone),
        (429, Temporary),
        (500, Temporary),
    ],
)
def test_each_error_becomes_what_it_means(status, failure):
    with pytest.raises(failure):
        read(status)


@pytest.mark.guarantee("S15")
@pytest.mark.parametrize(
    "change",
    [
        {"tines_tenant": "evil.example/"},
        {"tines_tenant": "evil.example#"},
        {"tines_tenant": "a@evil"},
        {"tines_tenant": ""},
        {"tines_tenant": "a.tines.com\n"},
        {"tines_tenant": "10.0.0.5:80"},
        {"path": "../x"},
        {"path": "a?b=c"},
        {"path": "/a"},
        {"path": "a//b"},
        {"path": "****"},
    ],
)
def test_no_tenant_and_no_path_lead_elsewhere(change):
    with pytest.raises(ValidationError):
        TinesConfig.model_validate({**EXAMPLE, **change})
