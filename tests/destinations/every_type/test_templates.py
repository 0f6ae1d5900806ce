"""What alert templates make of the requests of paging and machine types."""

import base64
import hmac
import json

import pytest

from eventsinks.destinations.base import Message
from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate
from tests.destinations.examples import ACME, ALERT, AT, MESSAGE_ID, make_message, make_type

TEMPLATE = AlertTemplate.model_validate(
    {
        "info": [
            {"label": "Who", "value": "{{@alert.results_table.rows[0].actor.alternateId}}", "use_for_dedup": True},
            {"label": "alert", "value": "{{@alert.timestamp}}"},
            {"label": "Who", "value": "again"},
        ],
        "actions": [
            {"label": "Runbook", "value": "https://wiki.acme.example/okta"},
            {"label": "Call", "value": "Jo Berg"},
        ],
    }
)


def told(template=TEMPLATE, **changes):
    message = make_message(**changes)
    message.template = template
    return message


def paged(message):
    return json.loads(make_type("pagerduty").build([message], AT).body)


def test_an_incident_of_pagerduty_tells_the_info_beside_the_alert():
    details = paged(told())["payload"]["custom_details"]
    assert details == {
        "Who": "jo.berg@acme.example",
        "alert (2)": "1777887000123456789",
        "Who (2)": "again",
        "Call": "Jo Berg",
        "alert": ALERT,
    }


def test_actions_that_can_be_followed_are_links_of_pagerduty():
    links = [(link["text"], link["href"]) for link in paged(told())["links"]]
    assert links == [("View in Scanner", ALERT["View in Scanner"]), ("Runbook", "https://wiki.acme.example/okta")]


def test_marked_values_make_one_incident_of_pagerduty():
    again = told(id="another", timestamp=1777887000123456790)
    assert paged(told())["dedup_key"] == paged(again)["dedup_key"]
    assert paged(told())["dedup_key"] != paged(told(dedup_key="mine"))["dedup_key"] == "mine"


def test_an_alert_that_is_too_large_leaves_the_info():
    details = paged(told(query_text="x" * 600_000))["payload"]["custom_details"]
    assert details["Who"] == "jo.berg@acme.example"
    assert "too large" in details["alert"]


def test_info_that_is_too_large_leaves_a_note():
    infos = [{"label": f"{number}", "value": "{{@alert.query_text}}"} for number in range(50)]
    template = AlertTemplate.model_validate({"info": infos})
    details = paged(told(template, query_text="x" * 30_000))["payload"]["custom_details"]
    assert list(details) == ["note"]


machines = pytest.mark.parametrize("key", ["webhook", "tines"])


def sent(key, message):
    return make_type(key, signing_keys=[bytes(32)]).build([message], AT)


@machines
def test_the_template_of_the_sink_adds_its_labels_behind_what_was_accepted(key):
    message = told()
    body = sent(key, message).body
    assert body.startswith(message.data[:-1])
    added = list(json.loads(body).items())[len(ALERT) :]
    assert added == [
        ("Who", "jo.berg@acme.example"),
        ("alert", "1777887000123456789"),
        ("Who (2)", "again"),
        ("Runbook", "https://wiki.acme.example/okta"),
        ("Call", "Jo Berg"),
    ]


@machines
def test_no_label_takes_the_place_of_what_the_alert_says(key):
    template = AlertTemplate.model_validate(
        {"info": [{"label": label, "value": "x"} for label in ("id", "id (2)", "name", "tags", "name", "id")]}
    )
    found = json.loads(sent(key, told(template)).body)
    assert {name: found[name] for name in ALERT} == ALERT
    assert list(found)[len(ALERT) :] == ["id (2)", "id (2) (2)", "name (2)", "tags (2)", "name (3)", "id (3)"]


@machines
def test_without_a_template_of_the_sink_every_byte_is_as_it_was_accepted(key):
    brought = {"info": [{"label": "Who", "value": "{{@alert.name}}"}]}
    raw = (
        b'{ "severity":"Low", "name":"n",\n "n": 1.10, "id":"1", "alert_template": %s }'
        % json.dumps(brought).encode()
    )
    message = make_message(raw=raw)
    for template in (None, AlertTemplate.model_validate({})):
        message.template = template
        assert sent(key, message).body == message.data == raw


@machines
def test_a_field_that_is_not_there_shows_as_itself_and_numbers_stay_as_written(key):
    values = {"A": "{{@alert.nothing}}", "B": "{{@alert.n}}", "C": '"quoted" \\ \u20ac'}
    template = AlertTemplate.model_validate({"info": [{"label": k, "value": v} for k, v in values.items()]})
    message = make_message(raw=b'{"severity":"Low","name":"n","n":1.10,"id":"1"}')
    message.template = template
    assert list(json.loads(sent(key, message).body).items())[-3:] == [
        ("A", "{{@alert.nothing}}"),
        ("B", "1.10"),
        ("C", '"quoted" \\ \u20ac'),
    ]


def test_the_signature_is_over_what_is_sent():
    request = sent("webhook", told())
    headers = dict(request.headers)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.digest(bytes(32), signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@machines
def test_a_notice_is_posted_as_it_is(key):
    kind = event_type("notice")
    data = json.dumps(kind.examples[0]).encode()
    message = Message(MESSAGE_ID, kind, ACME, AT, data, template=TEMPLATE)
    assert sent(key, message).body == data
