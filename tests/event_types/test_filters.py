"""What filters see of events, and the filters that a form makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsinks.event_types import event_type
from eventsinks.event_types.filter_preset import Preset, make_filter, read_filter
from eventsinks.event_types.severities import SEVERITY_NUMBERS
from eventsinks.lib.filters.event_filter import EventFilter

ALERT = event_type("detection_alert")
EVERY_DEFAULT = """
    name == "" && severity == "Unknown" && severity_id == 0 && status == "firing" && tags == []
    && description == "" && detection_rule_id == "" && dedup_key == "" && source == "" && alert.tags == []
"""


def rejects(text, alert):
    return EventFilter(text).rejects(ALERT.told_to_filters(alert))


@pytest.mark.parametrize("alert", [{}, dict.fromkeys(["name", "severity", "severity_id", "tags", "dedup_key"])])
def test_what_is_absent_or_null_has_a_default(alert):
    assert rejects(EVERY_DEFAULT, alert) is None


@pytest.mark.parametrize(
    ("alert", "name", "number"),
    [
        ({"severity": "High"}, "High", 4),
        ({"severity": "critical"}, "Critical", 5),
        ({"severity_id": 5}, "Critical", 5),
        ({"severity_id": 99}, "Other", 99),
        ({"severity": "Low", "severity_id": 2}, "Low", 2),
    ],
)
def test_each_of_the_severities_is_filled_from_the_other(alert, name, number):
    assert rejects(f'severity == "{name}" && severity_id == {number}', alert) is None


def test_an_alert_without_a_dedup_key_has_its_id():
    assert rejects('dedup_key == "7"', {"id": "7"}) is None
    assert rejects('dedup_key == "k"', {"id": "7", "dedup_key": "k"}) is None


def test_other_event_types_are_seen_as_they_are():
    assert event_type("audit").told_to_filters({"a": 1}) == {"a": 1}


def test_presets_reject_what_lacks_one_of_them():
    text = make_filter("High", ["aws", "gcp"], ["rule-1", "Root login"])
    alert = {"name": "Root login", "severity": "Fatal", "tags": ["gcp"]}
    assert rejects(text, alert) is None
    assert rejects(text, {**alert, "severity": "Medium"}) == "severity_id >= 4"
    assert rejects(text, {**alert, "tags": ["azure"]}) == 'tags.exists(tag, tag in ["aws", "gcp"])'
    assert rejects(text, {**alert, "name": "x", "detection_rule_id": "rule-1"}) is None
    assert "detection_rule_id in" in rejects(text, {**alert, "name": "x"})


TEXTS = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10), max_size=3)


@given(st.sampled_from([None, *SEVERITY_NUMBERS]), TEXTS, TEXTS)
def test_a_preset_is_shown_again_as_it_was_made(severity, tags, rules):
    text = make_filter(severity, tags, rules)
    assert read_filter(text) == Preset(severity, tuple(tags), tuple(rules))
    if text:
        EventFilter(text)


@pytest.mark.parametrize(
    "text", ["severity_id >= 9", "severity_id >= 4 ", 'name == "x"', 'tags.exists(tag, tag in ["\\z"])']
)
def test_what_no_preset_makes_is_none(text):
    assert read_filter(text) is None
