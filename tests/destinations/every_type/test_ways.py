"""Links of an alert: each can be followed, or is told as text, or shortened. None is gone without a trace."""

import json
import re

import orjson
import pytest

from eventsinks.destinations import DESTINATION_TYPES
from eventsinks.destinations.base import Message
from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import MAX_ACTIONS, AlertTemplate
from tests.destinations.every_type.test_numbers_told import text_of, told
from tests.destinations.examples import ACME, ALERT, MESSAGE_ID, make_type

SINKS = [key for key, kind in sorted(DESTINATION_TYPES.items()) if kind.face == "event_sink"]
OF_THE_ALERT = {"webhook", "tines"}  # these send the alert itself, and no words about it
every_sink = pytest.mark.parametrize("key", SINKS)
every_sink_of_words = pytest.mark.parametrize("key", sorted(set(SINKS) - OF_THE_ALERT))
NO_WAYS = [
    "https://app.example/a b",
    "https://app.example/?at=2026-05-04 09",
    "ftp://app.example/a",
    "javascript:alert(1)",
    "app.example/a",
    "https://app.example/" + "x" * 3_100,
    "https://app.example/" + "ü" * 1_000,
    "see the wiki",
    "https://jo:pw@app.example/",
]


def message(link=None, actions=(), **fields):
    """Return an alert with this link and these actions, as label and text."""
    kind = event_type("detection_alert")
    alert = {name: value for name, value in ALERT.items() if name != "View in Scanner"} | fields
    taken = kind.accept(orjson.dumps(alert | ({} if link is None else {"View in Scanner": link})), ACME)
    given = {"actions": [{"label": label, "value": value} for label, value in actions]}
    template = AlertTemplate.model_validate(given) if actions else None
    return Message(MESSAGE_ID, kind, ACME, taken.occurred_at, taken.data, template=template)


def body(key, given):
    """Return what a sink is sent, on one line, without what Slack and Teams put between the signs of a text."""
    text = text_of(told(make_type(key, signing_keys=[bytes(32)]), given))
    return re.sub(r"=\n|\n\s*", "", text)


@every_sink
def test_a_link_to_the_event_that_can_not_be_followed_is_told_as_text(key, subtests):
    for link in NO_WAYS:
        with subtests.test(link=link):
            found = body(key, message(link))
            assert "View in Scanner" in found
            assert link[:60] in found


@every_sink_of_words
def test_an_action_that_can_not_be_followed_is_told_as_text(key, subtests):
    for link in NO_WAYS:
        with subtests.test(link=link):
            found = body(key, message(actions=[("Look there", link)]))
            assert "Look there" in found
            assert link[:60] in found


@every_sink_of_words
@pytest.mark.parametrize(
    ("link", "sent"),
    [
        ("https://app.example/hööks?q=ü", "h%C3%B6%C3%B6ks?q=%C3%BC"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
    ],
)
def test_a_link_with_other_letters_is_written_as_it_is_followed(key, link, sent):
    assert sent in body(key, message(link, actions=[("Look", link)]))


@every_sink
def test_a_link_that_is_no_text_is_told_all_the_same(key, subtests):
    for value in (7, ["https://app.example/a"], {"url": "https://app.example/b"}, 1.5, True):
        with subtests.test(value=value):
            found = body(key, message(value))
            assert "View in Scanner" in found
            plain = found.replace('\\"', '"').replace("&quot;", '"').replace("\\", "")
            assert json.dumps(value, separators=(",", ":")) in plain


@pytest.mark.parametrize("key", sorted(set(SINKS) - {*OF_THE_ALERT, "pagerduty"}))  # which sends the alert too
def test_where_there_is_no_link_none_is_told(key):
    for value in (None, "", " "):
        assert "View in Scanner" not in body(key, message(value)), value


@every_sink_of_words
def test_of_many_actions_each_is_there_or_counted_as_left_out(key, subtests):
    for length in (20, 150, 700, 1_500, 2_500):
        actions = [
            (f"Way {number:02}", f"https://app.example/{number:02}/" + "x" * length)
            for number in range(MAX_ACTIONS)
        ]
        with subtests.test(length=length):
            found = body(key, message("https://app.example/event", actions))
            shown = sum(label in found for label, _ in actions)
            counted = sum(int(number) for number in re.findall(r"… and (\d+) more(?! rows)", found))
            letter = "Way 00: https://" in found  # all of it is one text, of which the end may be cut
            cut = letter and "…" in found
            assert shown + counted >= len(actions) or cut
            assert "https://app.example/event" in found


@pytest.mark.parametrize("key", ["slack", "discord"])
def test_plain_words_hold_the_link_too(key):
    kind, given = make_type(key), message("https://app.example/a b")
    words = text_of(kind.in_words(given, told(kind, given)))
    assert "https://app.example/a b" in words
