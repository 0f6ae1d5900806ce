"""Slack: blocks that its own models accept, within its limits, in which nobody is mentioned."""

import json
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from eventsinks.destinations.base import Endpoints
from tests.destinations.examples import (
    ALERT,
    AT,
    assert_golden,
    make_message,
    make_type,
)

EXAMPLE = {
    "slack_integration_id": "4be0a2f6-43f0-4a6f-8d7e-7a9c3d1b5e20",
    "channel_name": "#security-alerts",
    "token": "xoxb-not-a-real-token",
}
# What Slack acts on. An entity may follow `&`; anything else after it would be ours to escape.
MARKUP = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
HOSTILE = "<!channel> <!here|x> <@U0123> <#C1> <!subteam^S1> <http://evil.example|good.example> & *b* `c`"


def built(**changes):
    return make_type("slack").build([make_message(**changes)], AT)


def posted(**changes):
    return json.loads(built(**changes).body)


def text_objects(value):
    """Return every text object inside the blocks."""
    if isinstance(value, list):
        return [found for child in value for found in text_objects(child)]
    if not isinstance(value, dict):
        return []
    own = [value] if value.get("type") in ("plain_text", "mrkdwn") else []
    return own + [found for child in value.values() for found in text_objects(child)]


def texts(message):
    return [found["text"] for found in text_objects(message["blocks"])]


def width(text):
    return len(text.encode("utf-16-le")) // 2


def assert_slack_would_take(message):
    """Hold the message against Slack's own models, and against the limits that they don't know."""
    blocks = Block.parse_all(message["blocks"])
    for block in blocks:
        block.validate_json()
    assert 0 < len(blocks) <= 50
    assert None not in blocks
    assert sum(map(width, texts(message))) < 10_000
    assert all(text.strip() for text in texts(message))
    assert message["text"].strip()
    assert width(message["blocks"][0]["text"]["text"]) <= 150
    for block in message["blocks"]:
        assert all(width(field["text"]) <= 2_000 for field in block.get("fields", ()))


def assert_nothing_is_read_into(message):
    """No text is markup, and Slack is told to look for none."""
    assert {found["type"] for found in text_objects(message["blocks"])} == {"plain_text"}
    assert not [text for text in [*texts(message), message["text"]] if MARKUP.search(text)]
    assert message["parse"] == "none"
    told = ("link_names", "mrkdwn", "unfurl_links", "unfurl_media")
    assert not any(message[name] for name in told)


def test_a_message_by_name_is_the_golden_one():
    assert_golden("slack_detection_alert", built())


def test_a_resolved_alert_without_details_is_the_golden_one():
    bare = {
        "name": "Disk <full>",
        "severity": "Low",
        "status": "resolved",
        "timestamp": ALERT["timestamp"],
    }
    assert_golden("slack_resolved", built(raw=orjson.dumps(bare)))


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


def test_the_link_is_a_button():
    (link,) = [block["accessory"] for block in posted()["blocks"] if "accessory" in block]
    assert link["url"] == ALERT["View in Scanner"]
    assert link["text"]["text"] == "View in Scanner"


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "slack://open", "not a link", "https://x.example/" + "a" * 3_000, 7],
)
def test_a_link_that_no_one_should_follow_is_no_button(link):
    assert "accessory" not in built(**{"View in Scanner": link}).body.decode()


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
    assert [len(block.get("fields", ())) for block in message["blocks"]] == [0, 0, 0, 10, 0]


def test_what_is_cut_ends_in_an_ellipsis_and_not_in_half_an_entity():
    for length in range(140, 156):
        header = texts(posted(name="x" * length + "&&&&"))[0]
        assert width(header) <= 150
        assert not MARKUP.search(header)
        assert header.endswith("…") or header == "x" * length + "&amp;" * 4


@pytest.mark.parametrize("length", [149, 150, 151])
def test_a_title_is_cut_only_if_it_must_be(length):
    header = texts(posted(name="x" * length))[0]
    assert header == ("x" * length if length <= 150 else "x" * 149 + "…")


def test_a_text_that_turns_its_direction_is_shown_as_it_is():
    assert texts(posted(name="invoice\u202egnp.exe\nnow"))[0] == "invoice gnp.exe now"


def test_no_character_that_hides_or_turns_text_is_in_any_block():
    odd = "a\x00b\x1b[31m\u202egnp.exe\u2066\ufeff"
    message = posted(description=odd, tags=[odd], results_table={"rows": [{odd: odd}]})
    said = "".join([*texts(message), message["text"]])
    assert "ab[31mgnp.exe" in said
    assert not set("\x00\x1b\u202e\u2066\ufeff") & set(said)


@settings(deadline=None, max_examples=150, database=None)
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
