"""Discord: an embed within its limits, in which nothing is markup and nobody is mentioned."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.discord import DiscordConfig
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
    "url": "https://discord.com/api/webhooks/1234567890123456789/n0t-a-real-t0ken_of-a-webhook-aaaaaaaaaaaaaaa"
}
STATUSES = {
    "taken": (200, 204),
    "plainer": (400, 413),
    "broken": (401, 404),
    "passing": (429, 500, 502, 503),
}
LIMITS = {
    "embeds.*.title": 256,
    "embeds.*.description": 4_096,
    "embeds.*.fields.*.name": 256,
    "embeds.*.fields.*.value": 1_024,
}
MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[*_~`|>#\[\]()<:@]")


def make_error(code):
    """Return the answer with an error code."""
    return make_response(403, json.dumps({"code": int(code), "message": "why"}).encode())


def built(message=None, **changes):
    return make_type("discord").build([message or make_message(**changes)], AT)


def embed(message=None, **changes):
    (found,) = json.loads(built(message, **changes).body)["embeds"]
    return found


def read(status, body=b"", **headers):
    return make_type("discord").read(make_response(status, body, **headers), [make_message()])


def width(text):
    return len(text.encode("utf-16-le")) // 2


def assert_discord_would_take(embed):
    """Hold an embed against https://docs.discord.com/developers/resources/message#embed-object-embed-limits."""
    fields = embed["fields"]
    texts = [embed["title"], embed.get("description", ""), embed.get("footer", {}).get("text", "")]
    assert 0 < width(texts[0]) <= 256
    assert width(texts[1]) <= 4_096
    assert width(texts[2]) <= 2_048
    assert len(fields) <= 25
    assert all(0 < width(field["name"]) <= 256 and 0 < width(field["value"]) <= 1_024 for field in fields)
    everything = [*texts, *(field[part] for field in fields for part in ("name", "value"))]
    assert sum(map(width, everything)) <= 6_000


def test_the_alert_is_the_golden_one():
    assert_golden("discord/firing", built())


def test_the_resolved_alert_is_the_golden_one():
    assert_golden("discord/resolved", built(status="resolved", dedup_key="okta-admin/jo.berg"))


def test_an_alert_with_a_template_and_rows_is_the_golden_one():
    assert_golden("discord/templated", built(with_summary(**TEMPLATED)))


@pytest.mark.guarantee("S17")
def test_nobody_is_mentioned():
    document = json.loads(built(name="@everyone <@123456789012345678>").body)
    assert document["allowed_mentions"] == {"parse": []}
    assert "content" not in document


def test_discord_says_when_the_message_is_there():
    assert built().url.endswith("?wait=true")
    in_thread = {"url": EXAMPLE["url"] + "?thread_id=1234567890123456789"}
    assert make_type("discord", in_thread).build([make_message()], AT).url.endswith("789&wait=true")


@pytest.mark.guarantee("S17")
@pytest.mark.parametrize(
    "text",
    [
        "**bold** __under__ ~~no~~ ||spoiler|| `code` # head",
        "[good.example](https://evil.example) <https://evil.example> https://evil.example",
        "<@123> <#1> <:x:1> :fire: @here",
        "\\*not escaped\\*",
    ],
)
def test_nothing_of_an_event_is_markup_or_a_link(text):
    found = embed(with_summary(title=text, text=text, info=((text, text),), actions=(), tags=(text,)))
    told = [found["title"], found["description"], found["fields"][-1]["value"]]
    told += [found["fields"][1]["name"], found["fields"][1]["value"]]
    for words in told:
        assert not MARKUP.search(words)
        assert re.sub(r"\\([\W_])", r"\1", words) == text


def test_a_link_can_not_be_left_early():
    found = embed(with_summary(actions=(("Go", "https://wiki.example/a)[x](https://evil.example"),)))
    assert found["fields"][1]["value"] == "[Open](https://wiki.example/a%29[x]%28https://evil.example)"


def test_the_last_escape_is_not_cut_in_two():
    title = embed(name="x" * 254 + "**")["title"]
    assert title == "x" * 254 + "…"


@pytest.mark.parametrize("letter", ["x", "*", "東", "\U0001f600"])
def test_an_alert_of_any_length_fits(letter):
    message = with_summary(
        title=letter * 1_000,
        text=letter * 9_000,
        info=((letter * 300, letter * 3_000),) * 40,
        actions=((letter * 300, "https://wiki.example/" + "x" * 1_900),) * 9,
        tags=(letter * 3_000,),
        columns=(letter * 99,) * 9,
        rows=((letter * 99,) * 9,) * 50,
        row_count=50,
    )
    found = embed(message)
    assert_discord_would_take(found)
    assert found["description"].endswith("…")


@settings(deadline=None, max_examples=60, database=None)
@given(
    title=st.text(),
    text=st.text(max_size=5_000),
    pairs=st.lists(st.tuples(st.text(), st.text(max_size=1_100)), max_size=30),
)
def test_whatever_is_told_fits(title, text, pairs):
    assert_discord_would_take(embed(with_summary(title=title, text=text, info=tuple(pairs))))


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (404, b'{"message": "Unknown Webhook", "code": 10015}', DestinationGone),
        (401, b'{"message": "Invalid Webhook Token", "code": 50027}', DestinationGone),
        (403, b'{"message": "Missing Access", "code": 50001}', DestinationGone),
        (403, b"<html>blocked</html>", Temporary),
        (400, b'{"message": "Invalid Form Body", "code": 50035, "errors": {}}', EventRefused),
        (400, b'{"message": "Webhooks posted to forum channels ...", "code": 220001}', DestinationGone),
        (413, b"", EventRefused),
        (500, b'{"message": "Internal", "code": 10015}', Temporary),
    ],
)
def test_each_error_becomes_what_it_means(status, body, failure):
    with pytest.raises(failure):
        read(status, body)


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (b'{"message": "limited", "retry_after": 64.57, "global": false}', "65", 64.57),
        (b'{"retry_after": 1e12}', "1", 24 * 3600.0),
        (b'{"retry_after": true}', "3", 3.0),
        (b"error code: 1015", "30", 30.0),
    ],
)
def test_a_limit_of_rate_is_waited_for_as_long_as_discord_says(body, header, seconds):
    with pytest.raises(Temporary) as raised:
        read(429, body, retry_after=header)
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize(
    "url",
    [
        EXAMPLE["url"].replace("https", "http"),
        EXAMPLE["url"].replace("discord.com", "discord.com.evil.example"),
        EXAMPLE["url"].replace("discord.com", "10.0.0.5"),
        EXAMPLE["url"] + "/../../x",
        EXAMPLE["url"] + "?wait=false",
        EXAMPLE["url"] + "\n",
    ],
)
def test_what_is_no_webhook_of_discords_is_refused_without_repeating_it(url):
    with pytest.raises(ValidationError) as refused:
        DiscordConfig.model_validate({"url": url}, context={"guard": AddressGuard()})
    assert "n0t-a-real-t0ken" not in str(refused.value)
