"""Slack: blocks that its own models accept, within its limits, in which nobody is mentioned."""

import json
import re
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from eventsinks.destinations.base import Endpoints
from eventsinks.destinations.slack.blocks import make_slack_message as message_of
from eventsinks.event_types.base import SEVERITIES
from tests.destinations.examples import (
    ALERT,
    AT,
    TEMPLATED,
    assert_golden,
    make_message,
    make_response,
    make_type,
    with_summary,
)

EXAMPLE = {
    "slack_integration_id": "4be0a2f6-43f0-4a6f-8d7e-7a9c3d1b5e20",
    "channel_name": "#security-alerts",
    "token": "xoxb-not-a-real-token",
}
STATUSES = {
    "passing": (429, 500, 502, 503),
}
LIMITS = {"text": 4_000, "attachments.*.blocks.*.text.text": 3_000, "attachments.*.blocks.*.elements.*.url": 3_000}
# What Slack acts on. An entity may follow `&`; anything else after it would be ours to escape.
MARKUP = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
# Blocks, and what may stand in them: no mrkdwn, no mention, no emoji by its name.
KINDS = {
    *("rich_text", "rich_text_section", "text", "link"),
    *("section", "context", "plain_text", "actions", "button", "table"),
}
HOSTILE = "<!channel> <!here|x> <@U0123> <#C1> <!subteam^S1> <http://evil.example|good.example> & *b* `c` :fire:"
STATES = ("firing", "acknowledged by Jo", "resolved")
# What is posted with every message, beside the message itself.
POSTED = {"parse": "none", "link_names": False, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def make_error(code):
    """Return the answer with an error code."""
    return make_response(200, json.dumps({"ok": False, "error": code}).encode())


def built(**changes):
    return make_type("slack").build([make_message(**changes)], AT)


def posted(**changes):
    return json.loads(built(**changes).body)


def objects(value):
    """Return every object of a message, however deep."""
    if isinstance(value, list):
        return [found for child in value for found in objects(child)]
    if not isinstance(value, dict):
        return []
    return [value, *objects(list(value.values()))]


def parts(message):
    return [message["blocks"], *(attachment["blocks"] for attachment in message["attachments"])]


def blocks(message):
    return [block for part in parts(message) for block in part]


def texts(message):
    return [found["text"] for found in objects(parts(message)) if isinstance(found.get("text"), str)]


def urls(message):
    return [found["url"] for found in objects(parts(message)) if "url" in found]


def buttons(message):
    return [
        (found["text"]["text"], found["url"]) for found in objects(parts(message)) if found.get("type") == "button"
    ]


def width(text):
    return len(text.encode("utf-16-le")) // 2


def assert_slack_would_take(message):
    """Hold the message against Slack's own models, and against the limits that they don't know."""
    for part in parts(message):
        for block in Block.parse_all(part):
            block.validate_json()
    kinds = [found["type"] for found in blocks(message)]
    assert 0 < len(kinds) <= 50
    assert all(parts(message))
    assert kinds.count("table") <= 1
    assert sum(map(width, [*texts(message), *urls(message)])) < 10_000
    assert all(text.strip() for text in texts(message))
    assert message["text"].strip()
    assert all(re.fullmatch("#[0-9a-f]{6}", attachment["color"]) for attachment in message["attachments"])
    for block in blocks(message):
        assert width((block.get("text") or {"text": ""})["text"]) <= 3_000
        assert all(width(field["text"]) <= 2_000 for field in block.get("fields", ()))
        assert len({len(row) for row in block.get("rows", ())}) <= 1
    for found in objects(parts(message)):
        assert found.get("type") != "button" or (width(found["text"]["text"]) <= 75 and len(found["url"]) <= 3_000)


def read_marked(message):
    """Return the texts in which Slack looks for entities: not those of rich text."""
    flat = [found for found in objects(parts(message)) if found.get("type") == "plain_text"]
    return [*(found["text"] for found in flat), message["text"]]


def assert_nothing_is_read_into(message):
    """No text is markup, and Slack is told to look for none."""
    kinds = {found["type"] for found in objects(parts(message)) if "type" in found}
    assert kinds <= KINDS
    assert not any(found["emoji"] for found in objects(parts(message)) if found.get("type") == "plain_text")
    assert not [text for text in read_marked(message) if MARKUP.search(text)]
    assert not re.search(r":[^\s:\u2060][^\s:]*:", message["text"])
    assert all(url.startswith(("http://", "https://")) for url in urls(message))
    assert message["parse"] == "none"
    told = ("link_names", "mrkdwn", "unfurl_links", "unfurl_media")
    assert not any(message[name] for name in told)


def test_a_message_by_name_is_the_golden_one():
    assert_golden("slack/detection_alert", built())


def test_a_resolved_alert_without_details_is_the_golden_one():
    bare = {
        "name": "Disk <full>",
        "severity": "Low",
        "status": "resolved",
        "timestamp": ALERT["timestamp"],
    }
    assert_golden("slack/resolved", built(raw=orjson.dumps(bare)))


def test_a_templated_alert_with_a_table_is_the_golden_one():
    built = make_type("slack").build([with_summary(**TEMPLATED)], AT)
    assert_golden("slack/templated", built)
    assert_slack_would_take(json.loads(built.body))


def test_an_acknowledged_alert_of_the_api_is_the_golden_one():
    rows = [{"user": f"user{number}@acme.example", "role": "admin", "n": number} for number in range(8)]
    table = {"columns": ["user", "role", "n"], "rows": rows, "total_row_count": 40}
    assert_golden("slack/acknowledged", built(status="acknowledged", results_table=table))


def test_a_realistic_message_is_one_that_slack_takes():
    assert_slack_would_take(posted())
    assert_nothing_is_read_into(posted())


def test_a_message_says_what_the_alert_says():
    said = "\n".join(texts(posted()))
    for part in (
        ALERT["name"],
        "High",
        "&lt;Super Admin&gt; to a contractor &amp; logged out",
        "Zoë 東京",
    ):
        assert part in said
    assert all(tag in said for tag in ALERT["tags"])


def test_the_title_and_a_button_lead_to_the_alert():
    message = posted()
    (title,) = [found for found in objects(message["blocks"]) if found.get("type") == "link"]
    assert (title["text"], title["url"]) == (ALERT["name"], ALERT["View in Scanner"])
    assert buttons(message) == [("View in Scanner", ALERT["View in Scanner"])]


@pytest.mark.parametrize(
    "link",
    [
        *("javascript:alert(1)", "slack://open", "not a link", "https://x.example/" + "a" * 3_000, 7),
        *("https://good.example@evil.example/", "<https://x.example>"),
    ],
)
def test_a_link_that_no_one_should_follow_is_none(link):
    message = posted(**{"View in Scanner": link})
    assert not urls(message)
    assert_slack_would_take(message)


def shown(status=None, **changes):
    """Return the message of a summary with these fields, as it is posted."""
    summary = replace(make_message().summary, **changes)
    return {**POSTED, **message_of(summary, status)}


def test_only_what_leads_somewhere_becomes_a_button():
    message = shown(
        actions=(("Go", "https://x.example/"), ("No", "javascript:alert(1)"), ("Call & wake", "Jo")), link=""
    )
    assert buttons(message) == [("Go", "https://x.example/")]
    assert {"No", "\njavascript:alert(1)", "Call & wake", "\nJo"} <= set(texts(message))


def test_there_are_as_many_buttons_as_slack_shows():
    message = shown(actions=tuple((f"{number}", f"https://x.example/{number}") for number in range(30)))
    assert len(buttons(message)) == 25
    assert_slack_would_take(message)


def test_a_later_status_changes_mark_line_and_colour_and_nothing_else():
    firing, taken = shown(**TEMPLATED), shown("acknowledged by Jo <!here>", **TEMPLATED)
    assert taken["text"].startswith("👀 High · acknowledged by Jo &lt;!here&gt;: ")
    assert "High · acknowledged by Jo &lt;!here&gt;" in texts(taken)
    assert texts(firing)[3:] == texts(taken)[3:]
    colours = {status: {one["color"] for one in shown(status, **TEMPLATED)["attachments"]} for status in STATES}
    assert len(set(map(frozenset, colours.values()))) == 3
    assert {len(found) for found in colours.values()} == {1}


def test_several_rows_are_a_table_and_no_fields():
    message = shown(**TEMPLATED)
    (table,) = [found for found in blocks(message) if found["type"] == "table"]
    assert texts({"blocks": table["rows"][0], "attachments": []}) == ["user", "role", "count"]
    assert not [found for found in blocks(message) if "fields" in found]
    assert "… 2 of 7 rows" in texts(message)


def test_a_cell_without_a_text_is_a_dash_since_slack_takes_no_empty_one():
    message = shown(columns=("", "b"), rows=(("", " "), ("\u202e", "x")))
    assert texts(message)[-6:] == ["–", "b", "–", "–", "–", "x"]
    assert_slack_would_take(message)


words = st.text(max_size=80) | st.sampled_from((HOSTILE, "", " ", "\u202e", ":fire:", "🔥" * 3_000, "&" * 4_000))
ways = st.sampled_from(("https://x.example/", "javascript:x", "https://x.example/" + "a" * 2_900)) | words
pairs = st.lists(st.tuples(words, words), max_size=60)


@settings(deadline=None, max_examples=60, database=None)
@given(
    status=st.none() | words,
    changes=st.fixed_dictionaries(
        {
            "title": words,
            "text": words,
            "severity": words | st.sampled_from(SEVERITIES),
            "link": ways,
            "tags": st.lists(words, max_size=30),
            "facts": pairs,
            "info": pairs,
            "actions": st.lists(st.tuples(words, ways), max_size=30),
            "columns": st.lists(words, max_size=9),
            "rows": st.lists(st.lists(words, min_size=9, max_size=9), max_size=9),
            "row_count": st.integers(-1, 10**12),
        }
    ),
)
def test_slacks_models_accept_the_message_of_any_summary(status, changes):
    message = shown(status, **changes)
    assert_slack_would_take(message)
    assert_nothing_is_read_into(message)


@pytest.mark.guarantee("S17")
def test_nobody_is_mentioned_whatever_the_alert_says():
    message = posted(
        name=HOSTILE,
        description=HOSTILE,
        tags=[HOSTILE, "@channel @here @everyone"],
        results_table={"rows": [{HOSTILE: HOSTILE}]},
    )
    assert_nothing_is_read_into(message)
    assert_slack_would_take(message)
    assert "&lt;!channel&gt;" in message["text"]


@pytest.mark.guarantee("P4")
def test_everything_at_its_longest_still_fits():
    row = {f"{number}" + "🔥" * 3_000: "&" * 5_000 for number in range(20)}
    message = posted(
        name="<" * 10_000,
        description="🔥" * 10_000,
        tags=[">" * 5_000] * 20,
        results_table={"rows": [row]},
        **{"View in Scanner": "https://x.example/" + "a" * 2_900},
    )
    assert_slack_would_take(message)
    assert_nothing_is_read_into(message)
    assert max(len(block.get("fields", ())) for block in blocks(message)) == 10
    assert "… and 10 more" in texts(message)


def test_what_is_cut_ends_in_an_ellipsis_and_not_in_half_an_entity():
    for length in range(1_490, 1_502):
        (text,) = [found for found in texts(posted(description="x" * length + "&&&&")) if found.startswith("xx")]
        assert width(text) <= 1_500
        assert not MARKUP.search(text)
        assert text.endswith("…") or text == "x" * length + "&amp;" * 4


@pytest.mark.parametrize("length", [149, 150, 151])
def test_a_title_is_cut_only_if_it_must_be(length):
    title = texts(posted(name="x" * length))[1]
    assert title == ("x" * length if length <= 150 else "x" * 149 + "…")


def test_a_text_that_turns_its_direction_is_shown_as_it_is():
    assert texts(posted(name="invoice\u202egnp.exe\nnow"))[1] == "invoice gnp.exe now"


def test_no_character_that_hides_or_turns_text_is_in_any_block():
    odd = "a\x00b\x1b[31m\u202egnp.exe\u2066\ufeff"
    message = posted(description=odd, tags=[odd], results_table={"rows": [{odd: odd}]})
    said = "".join([*texts(message), message["text"]])
    assert "ab[31mgnp.exe" in said
    assert not set("\x00\x1b\u202e\u2066\ufeff") & set(said)


@pytest.mark.guarantee("P4")
@settings(deadline=None, max_examples=60, database=None)
@given(
    name=st.text(min_size=1, max_size=400),
    description=st.text(max_size=4_000) | st.text("&<>🔥", min_size=2_000, max_size=4_000),
    tags=st.lists(st.text(max_size=200), max_size=20),
    row=st.dictionaries(st.text(max_size=60), st.text(max_size=2_500), max_size=15),
    severity=st.sampled_from(("Fatal", "critical", "High", "Medium", "Low", "Informational", "Other")),
)
def test_slacks_models_accept_every_message(name, description, tags, row, severity):
    message = posted(
        name=name,
        description=description,
        tags=tags,
        severity=severity,
        results_table={"rows": [row]},
    )
    assert_slack_would_take(message)
    assert_nothing_is_read_into(message)


def test_an_id_is_posted_to_rather_than_a_name():
    both = make_type("slack", {**EXAMPLE, "channel_id": "C12345678"})
    body = json.loads(both.build([make_message()], AT).body)
    assert body["channel"] == "C12345678"
    assert posted()["channel"] == "#security-alerts"


def test_the_target_is_the_name_or_else_the_id():
    by_id = {**EXAMPLE, "channel_name": "", "channel_id": "C12345678"}
    assert make_type("slack").target() == "#security-alerts"
    assert make_type("slack", by_id).target() == "C12345678"


def test_the_token_is_in_the_header_and_nowhere_else():
    request = built()
    assert dict(request.headers)["Authorization"] == "Bearer xoxb-not-a-real-token"
    assert b"xoxb" not in request.body
    assert "xoxb" not in request.url


def test_the_operator_can_send_it_elsewhere():
    moved = make_type("slack", endpoints=Endpoints(slack="http://slack.test/api/"))
    assert moved.build([make_message()], AT).url == "http://slack.test/api/chat.postMessage"
