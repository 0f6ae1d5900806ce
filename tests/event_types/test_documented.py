"""What docs/filters-and-templates.md shows is true."""

import re
from pathlib import Path

from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.filters.event_filter import FUNCTIONS, EventFilter

PAGE = (Path(__file__).parent.parent.parent / "docs/filters-and-templates.md").read_text()
ALERT = event_type("detection_alert")


def rejects(text, **alert):
    return EventFilter(text).rejects(ALERT.told_to_filters(alert))


def test_the_first_filter_lets_through_what_it_says():
    text = re.search(r"^    (severity_id >= 4 && .*)$", PAGE, re.MULTILINE)[1]
    assert rejects(text, severity="High", tags=["tactics.ta0001"]) is None
    assert rejects(text, severity="High", tags=["tactics.ta0001", "test"]) == '!("test" in tags)'


def test_the_reason_for_a_missing_key_is_as_it_stands_there():
    reason = re.search(r"^    (user.name == .*)$", PAGE, re.MULTILINE)[1]
    assert rejects('user.name == "root"') == reason


def test_the_filter_for_what_may_be_missing_lets_through_what_has_none():
    text = re.search(r"`(!has\(alert.user\).*)`", PAGE)[1]
    assert rejects(text) is None
    assert rejects(text, user={"name": "jo"}) is None
    assert rejects(text, user={"name": "root"}) == text


def test_every_function_it_lists_is_known():
    listed = set(re.findall(r"`(\w+)`", PAGE.partition("| texts |")[2].partition("Limits:")[0]))
    assert listed - FUNCTIONS == {"exists", "all", "exists_one", "filter", "map", "has"}


def test_the_template_is_one():
    template = AlertTemplate.model_validate_json(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    rows = [{"userIdentity.arn": "arn:root", "@q.count": 3}]
    told = template.told({"name": "A & B", "results_table": {"rows": rows}})
    assert told.info == (("Who", "arn:root"), ("How often", "3 times"))
    assert told.actions == (("Runbook", "https://wiki.acme.example/A+%26+B"),)
    assert told.dedup_values == ("arn:root",)
