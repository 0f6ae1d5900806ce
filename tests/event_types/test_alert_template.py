"""Alert templates: what they tell, whose wins, and which alerts are one incident."""

import pytest
from pydantic import ValidationError

from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate

ALERT = event_type("detection_alert")
ARN = "{{@alert.results_table.rows[0].userIdentity.arn}}"


def make_template(value=ARN, use_for_dedup=True, **more):
    return AlertTemplate.model_validate(
        {"info": [{"label": "Who", "value": value, "use_for_dedup": use_for_dedup}], **more}
    )


def make_alert(arn="arn:root", **more):
    rows = [{"userIdentity.arn": arn}] if arn else []
    return {"id": "7", "name": "Root login", "severity": "High", "results_table": {"rows": rows}, **more}


def test_a_template_tells_info_and_actions_in_order():
    template = make_template(
        actions=[
            {"label": "Runbook", "value": "https://wiki.acme.example/{{@alert.name | url_encode}}"},
            {"label": "Call", "value": "Jo Berg"},
        ]
    )
    told = ALERT.summary(make_alert(), template)
    assert told.info == (("Who", "arn:root"),)
    assert told.actions == (("Runbook", "https://wiki.acme.example/Root+login"), ("Call", "Jo Berg"))


def test_an_alert_without_a_template_tells_neither():
    told = ALERT.summary(make_alert())
    assert (told.info, told.actions, told.dedup_key) == ((), (), "7")


def test_the_template_of_an_alert_is_used_where_its_destination_has_none():
    alert = make_alert(alert_template=make_template("mine {{@alert.name}}").model_dump())
    assert ALERT.summary(alert).info == (("Who", "mine Root login"),)
    assert ALERT.summary(alert, make_template("yours")).info == (("Who", "yours"),)


@pytest.mark.parametrize(
    "given", [None, 1, "x", [], {"info": 1}, {"info": [{"label": "Who", "value": "{{"}]}, {"infos": []}]
)
def test_a_template_that_is_none_is_as_if_it_were_not_there(given):
    alert = make_alert(alert_template=given)
    assert (ALERT.summary(alert).info, ALERT.dedup_key(alert)) == ((), "7")


def test_an_alert_s_own_dedup_key_goes_before_all():
    assert ALERT.dedup_key(make_alert(dedup_key="mine"), make_template()) == "mine"


def test_alerts_are_one_incident_where_rule_and_marked_values_are_the_same():
    key = ALERT.dedup_key(make_alert(), make_template())
    assert key == ALERT.dedup_key(make_alert(id="8", tags=["x"]), make_template())
    assert key != ALERT.dedup_key(make_alert(arn="arn:other"), make_template())
    assert key != ALERT.dedup_key(make_alert(name="Other rule"), make_template())
    assert key != ALERT.dedup_key(make_alert(detection_rule_id="r"), make_template())
    assert key == ALERT.summary(make_alert(), make_template()).dedup_key
    assert len(key) <= 255


def test_values_are_not_mixed_up_with_their_neighbours():
    def key(first, second):
        infos = [{"label": name, "value": f"{{{{@alert.{name}}}}}", "use_for_dedup": True} for name in ("a", "b")]
        return ALERT.dedup_key(make_alert(a=first, b=second), AlertTemplate.model_validate({"info": infos}))

    assert key("ab", "c") != key("a", "bc")


@pytest.mark.parametrize("template", [make_template(use_for_dedup=False), make_template("always the same")])
def test_a_rule_alone_is_no_incident(template):
    assert ALERT.dedup_key(make_alert(), template) == "7"


def test_a_value_that_does_not_resolve_does_not_make_all_alerts_of_a_rule_one():
    assert ALERT.dedup_key(make_alert(arn=None), make_template()) == "7"
    assert ALERT.summary(make_alert(arn=None), make_template()).info == (("Who", ARN),)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"info": [{"label": "Who", "value": "{{"}]}, "expected '}}'"),
        ({"actions": [{"label": "Go", "value": "{{ nobody }}"}]}, "there is no nobody"),
        ({"info": [{"label": "", "value": "x"}]}, "at least 1 character"),
        ({"info": [{"label": "x" * 76, "value": "x"}]}, "at most 75 characters"),
        ({"info": [{"label": "x", "value": "x" * 10_001}]}, "at most 10000 characters"),
        ({"info": [{"label": "x", "value": "x"}] * 51}, "at most 50 items"),
        ({"actions": [{"label": "x", "value": "x"}] * 26}, "at most 25 items"),
        ({"info": [{"label": "x", "value": "x", "dedup": True}]}, "not permitted"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_when_it_is_made(template, reason):
    with pytest.raises(ValidationError, match=reason):
        AlertTemplate.model_validate(template)
