"""The fields for filters and templates: what a person fills in, and what is kept."""

import pytest
from django import forms

from eventsinks.admin.parts.filter_field import FilterFields, make_filter_initial
from eventsinks.admin.parts.template_field import AlertTemplateField
from eventsinks.event_types.filter_preset import make_filter


def filled(**data):
    form = FilterFields(data)
    form.is_valid()
    return form


def test_presets_become_a_filter():
    form = filled(
        severity_at_least="High", filter_tags="aws, gcp\nroot ", filter_rules="Root, login\r\n\r\nrule-1"
    )
    assert not form.errors
    assert form.cleaned_data["filter"] == make_filter("High", ["aws", "gcp", "root"], ["Root, login", "rule-1"])


@pytest.mark.parametrize("text", ["", 'severity_id >= 4 && !("test" in tags)'])
def test_a_filter_is_kept_as_it_is(text):
    form = filled(filter=text)
    assert not form.errors
    assert form.cleaned_data["filter"] == text


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        ({"filter": "severity_id >="}, "filter", "Not a filter: line 1, column 15"),
        ({"filter": "name"}, None, None),
        ({"filter": "size(name)"}, "filter", "neither true nor false"),
        ({"filter": "true", "severity_at_least": "Low"}, "filter", "not both"),
        ({"severity_at_least": "Bad"}, "severity_at_least", "valid choice"),
        ({"filter_rules": "x" * 5000}, "filter_rules", "at most 4,000 characters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(data, field, reason):
    errors = filled(**data).errors
    assert reason in str(errors[field]) if field else not errors


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        make_filter("High", ["a"], ["b", "c"]),
        make_filter(None, ["with, comma"], []),
        make_filter(None, [], ["two\nlines"]),
        make_filter("Other", [], []),
    ],
)
def test_what_is_shown_is_kept_again_as_it_was(text):
    form = filled(**make_filter_initial(text))
    assert not form.errors
    assert form.cleaned_data["filter"] == text


def test_a_template_is_kept_without_what_it_does_not_say():
    template = {"info": [{"label": "Who", "value": "{{@alert.name}}"}]}
    field = AlertTemplateField()
    assert field.clean(field.prepare_value(template)) == template
    assert not field.has_changed(template, field.prepare_value(template))
    assert field.clean("") is None


def test_all_that_is_wrong_with_a_template_is_said():
    given = '{"info": [{"label": "Who", "value": "{{"}, {"label": "", "value": "x"}]}'
    with pytest.raises(forms.ValidationError) as refused:
        AlertTemplateField().clean(given)
    assert [said.partition(":")[0] for said in refused.value.messages] == ["info.0.value", "info.1.label"]
    with pytest.raises(forms.ValidationError, match="Invalid JSON"):
        AlertTemplateField().clean("{")
