"""The preview: what a sink would be sent, shown in a terminal, and nothing sent."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from eventsinks.actions.trying.preview import preview_alerts
from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.management.block_kit import draw_message, name_colour
from eventsinks.models import Delivery
from eventsinks.models.destination import list_types

pytestmark = pytest.mark.django_db
ALERT = {
    "id": "7",
    "name": "Root login",
    "severity": "High",
    "tags": ["aws"],
    "View in Scanner": "https://x.example",
}
TEMPLATE = {"info": [{"label": "Rule", "value": "{{@alert.name}}"}]}


def said(*arguments, **options):
    """Return what the command prints."""
    out = io.StringIO()
    call_command("preview_alert", *arguments, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def file(tmp_path):
    def make(content, name="alert.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return make


@pytest.mark.parametrize("type", list_types("event_sink"))
def test_every_type_of_event_sink_can_be_previewed(type, file):
    assert DESTINATION_TYPES[type].example
    shown = said(file(ALERT), "--type", type)
    assert "incident: 7" in shown
    assert "Root login" in shown or type == "jira"  # which first looks for the incident's issue


def test_an_alert_of_a_file_is_shown_as_slack_would(file):
    shown = said(file(ALERT))
    assert "🟠 Root login" in shown
    assert "[ View in Scanner ]" in shown
    assert "High" in shown
    assert not Delivery.objects.exists()


def test_an_alert_is_shown_as_the_json_of_other_types(file):
    shown = said(file(ALERT), "--type", "pagerduty", "--template", file(TEMPLATE, "template.json"))
    assert json.loads(shown.partition("incident: ")[0])["payload"]["custom_details"]["Rule"] == "Root login"


def test_the_filter_s_clause_that_says_no_is_shown(file):
    assert 'the filter says no: "gcp" in tags' in said(file(ALERT), "--filter", 'severity_id > 3 && "gcp" in tags')
    assert "says no" not in said(file(ALERT), "--filter", file("severity_id > 3", "wanted.cel"))


def test_nothing_of_an_alert_reaches_the_terminal_as_a_command(file):
    for type in list_types("event_sink"):
        shown = said(file({**ALERT, "name": "a\x1b[31mb\x9bc"}), "--type", type)
        assert not {"\x1b", "\x9b"} & set(shown)


def test_accepted_alerts_are_shown_to_their_tenant_only(acme, globex, make_alert, make_webhook):
    make_alert(id="1", name="First")
    make_alert(id="2", name="Second")
    make_alert(id="3", name="Third")
    assert '"First"' in said("--alert", "1", "--tenant", str(acme.id), "--type", "webhook")
    last = said("--last", "2", "--sink", str(make_webhook().uuid))
    assert '"Third"' in last
    assert '"Second"' in last
    assert '"First"' not in last
    with pytest.raises(CommandError, match="has no alert 1"):
        said("--alert", "1", "--tenant", str(globex.id))


def test_a_sink_s_secrets_are_not_opened(make_webhook, file):
    sink = make_webhook(config={"headers": {"x-api-key": "s3cret"}})
    (shown,) = preview_alerts(sink, None, [json.dumps(ALERT).encode()])
    assert "x-api-key" not in dict(shown.request.headers)
    assert shown.request.url == "https://example.com/hook"


def test_the_given_template_goes_before_the_sink_s(make_webhook):
    sink = make_webhook()
    sink.alert_template = {"info": [{"label": "a", "value": "theirs", "use_for_dedup": True}]}
    (shown,) = preview_alerts(sink, AlertTemplate.model_validate({}), [json.dumps(ALERT).encode()])
    assert shown.dedup_key == "7"


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("{", [], "not an alert"),
        ("[]", [], "not an alert"),
        ('{"name": ""}', [], "not an alert: name"),
        (ALERT, ["--filter", "name +"], "not a filter: line 1"),
        (ALERT, ["--last", "1"], "whose alerts"),
        (ALERT, ["--sink", "x"], "x is not an id"),
        (ALERT, ["--template", "/nowhere"], "can't read /nowhere"),
    ],
)
def test_what_can_t_be_shown_is_said(file, content, options, reason):
    with pytest.raises(CommandError, match=reason):
        said(file(content), *options)


def text(type, **more):
    return {"type": type, **more}


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ({"type": "header", "text": {"type": "plain_text", "text": "A &amp; B"}}, "A & B\n━━━━━"),
        ({"type": "divider"}, "─" * 20),
        ({"type": "section", "text": {"type": "mrkdwn", "text": "<https://a.b|site>"}}, "site"),
        (
            {
                "type": "section",
                "fields": [{"type": "plain_text", "text": t} for t in ("a\n1", "b\n2", "long long field")],
            },
            "a          b\n1          2\nlong long\nfield",
        ),
        (
            {
                "type": "section",
                "text": {"type": "plain_text", "text": "x"},
                "accessory": {"type": "button", "text": {"type": "plain_text", "text": "View"}},
            },
            "x\n            [ View ]",
        ),
        (
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": t}} for t in ("One", "Two", "Three")
                ],
            },
            "[ One ] [ Two ]\n[ Three ]",
        ),
        (
            {
                "type": "context",
                "elements": [{"type": "image", "alt_text": "logo"}, {"type": "mrkdwn", "text": "hi"}],
            },
            "(image: logo)  hi",
        ),
        (
            {
                "type": "table",
                "rows": [
                    [{"type": "raw_text", "text": "who"}, {"type": "raw_text", "text": "n"}],
                    [{"type": "raw_text", "text": "a very long name"}, {"type": "raw_number", "value": 3}],
                ],
            },
            "who      │ n\n─────────┼──\na very … │ 3",
        ),
        (
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [{"type": "text", "text": "hi "}, {"type": "emoji", "name": "x"}],
                    },
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}],
                    },
                    {"type": "rich_text_quote", "elements": [{"type": "user", "user_id": "U1"}]},
                ],
            },
            "hi :x:\n• one\n│ U1",
        ),
        ({"type": "markdown", "text": "**a**"}, "**a**"),
        ({"type": "image", "alt_text": "a graph"}, "(image: a graph)"),
        ({"type": "hologram"}, "(hologram)"),
    ],
)
def test_a_block_is_laid_out_as_text(block, shown):
    assert draw_message({"blocks": [block]}, 20) == shown


def test_attachments_stand_behind_a_bar_with_their_colour():
    message = {"attachments": [{"color": "#d72b3f", "blocks": [{"type": "divider"}]}, {"fallback": "old"}]}
    assert draw_message(message, 6) == "▌ (red)\n▌ ────\n▌\n▌ old"


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ("#d72b3f", "red"),
        ("e8912d", "orange"),
        ("#f2c744", "yellow"),
        ("#2eb67d", "green"),
        ("#1264a3", "blue"),
        ("#7c3085", "purple"),
        ("#888888", "grey"),
        ("#000000", "black"),
        ("good", "green"),
        ("", ""),
    ],
)
def test_a_colour_is_a_word(colour, word):
    assert name_colour(colour) == word
