"""Microsoft Teams: a card that its schema knows, of a size that is shown, in which nothing is Markdown."""

import json
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.teams import MAX_KEPT, MAX_MESSAGE, TeamsConfig
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.examples import (
    AT,
    TEMPLATED,
    assert_golden,
    make_message,
    make_response,
    make_type,
    with_summary,
)

EXAMPLE = {
    "url": "https://prod-12.westeurope.logic.azure.com:443/workflows/0f3a/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=n0t-a-real-signature"
}
STATUSES = {
    "taken": (202,),
    "plainer": (400, 413),
    "broken": (401, 403, 404),
    "passing": (429, 500, 502),
}
LIMITS = {"": 20_000}
MARKUP = re.compile(r"\{\{")  # a `{{DATE(…)}}` is filled in even in a text run
# What the schema of Adaptive Cards 1.5 allows of each element that is used here
# (https://github.com/microsoft/AdaptiveCards/blob/main/schemas/1.5.0/adaptive-card.json).
ALLOWED = {
    "AdaptiveCard": {"$schema", "type", "version", "fallbackText", "body", "actions", "msteams"},
    "Container": {"type", "style", "bleed", "items"},
    "RichTextBlock": {"type", "inlines"},
    "TextRun": {"type", "text", "weight", "size", "isSubtle"},
    "Table": {"type", "columns", "rows", "firstRowAsHeader"},
    "TableRow": {"type", "cells"},
    "TableCell": {"type", "items"},
    "Action.OpenUrl": {"type", "title", "url"},
}


def built(message=None, **changes):
    return make_type("teams").build([message or make_message(**changes)], AT)


def card(message=None, **changes):
    (attachment,) = json.loads(built(message, **changes).body)["attachments"]
    return attachment["content"]


def elements(value):
    """Return every element inside a card."""
    if isinstance(value, list):
        return [found for child in value for found in elements(child)]
    if not isinstance(value, dict):
        return []
    own = [value] if "type" in value else []
    return own + [found for child in value.values() for found in elements(child)]


def runs(card):
    return [found["text"] for found in elements(card) if found["type"] == "TextRun"]


def read(status, code="", body=None):
    said = body if body is not None else orjson.dumps({"error": {"code": code, "message": "Why."}})
    return make_type("teams").read(make_response(status, said), [make_message()])


def test_the_alert_is_the_golden_one():
    assert_golden("teams/firing", built())


def test_the_resolved_alert_is_the_golden_one():
    assert_golden("teams/resolved", built(status="resolved", dedup_key="okta-admin/jo.berg"))


def test_an_alert_with_a_template_and_rows_is_the_golden_one():
    assert_golden("teams/templated", built(with_summary(**TEMPLATED)))


def test_a_card_has_nothing_that_its_schema_does_not_know():
    for found in elements(card(with_summary(**TEMPLATED))):
        assert found.keys() <= ALLOWED[found["type"]]


def test_buttons_lead_to_the_event_and_to_actions_that_are_links():
    found = [(action["title"], action["url"]) for action in card(with_summary(**TEMPLATED))["actions"]]
    assert found[1:] == [("Runbook", "https://wiki.example/runbook?x=1")]
    assert found[0][0] == "View in Scanner"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "ftp://x.example", "https://a:b@x.example", "no link", ""]
)
def test_what_is_no_link_is_no_button(link):
    assert card(with_summary(link=link, actions=(("Go", link),)))["actions"] == []


def test_rows_that_are_left_out_are_counted():
    rows = tuple((f"user{number}", "3") for number in range(12))
    assert "and 88 more rows" in runs(card(with_summary(columns=("user", "count"), rows=rows, row_count=98)))


def test_text_of_an_event_is_nowhere_but_in_runs_which_know_no_markdown():
    hostile = "[click](https://evil.example) **x** <at>Jo</at>"
    found = card(name=hostile, description=hostile, tags=[hostile])
    outside = [element for element in elements(found) if element["type"] != "TextRun"]
    assert "evil.example" not in json.dumps(
        [{key: value for key, value in element.items() if isinstance(value, str)} for element in outside]
    )
    assert "entities" not in found["msteams"]


def test_a_run_fills_in_no_date():
    assert not [text for text in runs(card(name="{{DATE(2026-01-01T00:00:00Z)}} {{{x")) if "{{" in text]


def is_shown(body):
    """Whether a message fits, and the text that is kept of it: with each quote escaped."""
    return len(body) <= MAX_MESSAGE <= 20 * 1024 and len(json.dumps(body.decode(), ensure_ascii=False)) <= MAX_KEPT


def test_a_card_like_the_one_that_was_taken_and_never_shown_is_cut_until_it_is_shown():
    """Its request had 24,453 bytes, and what was kept of it 28,897."""
    facts = tuple((f"field {number}", "x" * 1_100) for number in range(19))
    body = built(with_summary(facts=facts)).body
    assert is_shown(body)
    assert "more" in body.decode()


def test_a_card_full_of_quotes_is_cut_by_what_is_kept_of_it():
    facts = tuple((f"field {number}", "x" * 1_000) for number in range(5))
    assert is_shown(built(with_summary(text='"' * 6_000, facts=facts)).body)


@pytest.mark.parametrize("letter", ["x", "é", "東", "\U0001f600", "\\", '"', "\n"])
def test_an_alert_of_any_length_fits_and_shows_that_it_was_cut(letter):
    rows = ((letter * 900,) * 9,) * 50
    message = with_summary(
        text=letter * 30_000,
        info=((letter * 500, letter * 2_000),) * 30,
        columns=(letter * 300,) * 9,
        rows=rows,
        row_count=50,
        actions=(("x" * 300, "https://wiki.example/" + "x" * 1_900),) * 9,
        tags=(letter * 900,) * 9,
    )
    assert is_shown(built(message).body)
    if letter.strip():
        assert any(text.endswith("…") for text in runs(card(message)))


@settings(deadline=None, max_examples=40, database=None)
@given(
    text=st.text(max_size=9_000),
    pairs=st.lists(st.tuples(st.text(max_size=200), st.text(max_size=3_000)), max_size=25),
)
def test_whatever_is_told_fits(text, pairs):
    assert is_shown(built(with_summary(text=text, info=tuple(pairs), facts=())).body)


def test_the_worse_it_is_the_redder_and_what_is_over_is_green():
    styles = {severity: card(severity=severity)["body"][0]["style"] for severity in ("Fatal", "Medium", "Low")}
    assert styles == {"Fatal": "attention", "Medium": "warning", "Low": "default"}
    assert card(severity="Fatal", status="resolved")["body"][0]["style"] == "good"


def test_202_is_what_teams_says_of_a_message_it_took():
    assert read(202, body=b"").failures is None


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [
        (400, "TriggerInputSchemaMismatch", EventRefused),
        (413, "", EventRefused),
        (400, "WorkflowTriggerIsNotEnabled", DestinationGone),
        (401, "DirectApiAuthorizationRequired", DestinationGone),
        (403, "AuthorizationFailed", DestinationGone),
        (404, "WorkflowNotFound", DestinationGone),
        (410, "", DestinationGone),
        (429, "WorkflowRunActionThrottled", Temporary),
        (502, "NoResponse", Temporary),
        (503, "WorkflowNotFound", DestinationGone),
    ],
)
def test_each_error_becomes_what_it_means(status, code, failure):
    with pytest.raises(failure) as raised:
        read(status, code)
    assert code in raised.value.reason or status in (429, 502)


@pytest.mark.parametrize(
    "url", ["http://x.example/", "https://10.0.0.5/", "https://localhost/", "nonsense", "****"]
)
def test_a_url_that_may_not_be_posted_to_is_refused_without_repeating_it(url):
    with pytest.raises(ValidationError) as refused:
        TeamsConfig.model_validate({"url": url + "?sig=hunter2"}, context={"guard": AddressGuard()})
    assert "hunter2" not in str(refused.value)
