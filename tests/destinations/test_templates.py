"""What alert templates make of the requests of paging and machine types."""

import json

from eventsinks.event_types.alert_template import AlertTemplate
from tests.destinations.examples import ALERT, AT, make_message, make_type

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


def test_a_webhook_posts_the_alert_as_it_was_accepted():
    message = told()
    assert make_type("webhook").build([message], AT).body == message.data
