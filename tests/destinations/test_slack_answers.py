"""Slack: which channel a configuration means, and what each of Slack's answers means."""

import orjson
import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, EventRefused, Temporary
from eventsinks.destinations.slack import SlackConfig
from tests.destinations.examples import make_message, make_response, make_type
from tests.destinations.test_slack import EXAMPLE

GONE = """
channel_not_found not_in_channel is_archived missing_scope no_permission not_allowed_token_type
restricted_action restricted_action_read_only_channel restricted_action_thread_only_channel
invalid_auth not_authed token_revoked token_expired account_inactive
"""
REFUSED = """
invalid_blocks invalid_blocks_format msg_blocks_too_long msg_too_long no_text too_many_attachments
"""
TEMPORARY = """
ratelimited rate_limited fatal_error internal_error service_unavailable request_timeout
team_added_to_org a_code_of_tomorrow no_text_at_all
"""


def config(**changes):
    return SlackConfig.model_validate({**EXAMPLE, **changes})


def read(status=200, body=b'{"ok":true}', **headers):
    return make_type("slack").read(make_response(status, body, **headers), [make_message()])


def not_ok(code):
    return orjson.dumps({"ok": False, "error": code})


def test_a_name_is_stored_without_its_hash():
    assert config(channel_name=" #ops ").channel_name == "ops"


@pytest.mark.parametrize(
    "changes",
    [
        {"channel_name": ""},
        {"channel_name": "#"},
        {"channel_name": "two words"},
        {"channel_name": "<!channel>"},
        {"channel_name": "@jo"},
        {"channel_name": "x" * 81},
        {"channel_id": "C1\n"},
        {"channel_id": "#ops"},
        {"slack_integration_id": "7"},
        {"token": "xoxb\r\nX-Injected: yes"},
        {"token": "xoxb-東京"},
        {"webhook_url": "https://hooks.slack.com/"},
    ],
)
def test_a_configuration_that_can_not_work_is_refused(changes):
    with pytest.raises(ValidationError):
        config(**changes)


def test_a_move_to_another_channel_forgets_the_one_before():
    by_id = config(channel_id="C1").apply_changes({"channel_name": "#ops"})
    by_name = config().apply_changes({"channel_id": "C2"})
    assert (by_id.channel_id, by_id.channel_name) == ("", "ops")
    assert (by_name.channel_id, by_name.channel_name) == ("C2", "")
    assert by_name.token == by_id.token == config().token


def test_the_token_of_the_workspace_is_neither_kept_with_the_channel_nor_changed_by_a_tenant():
    taken = config().apply_changes({"token": "xoxb-of-a-stranger"})
    assert taken.token.get_secret_value() == EXAMPLE["token"]
    assert "token" not in {**taken.dump_masked(), **taken.dump_revealed(), **taken.secrets()}


def test_a_change_that_moves_nothing_forgets_nothing():
    both = config(channel_id="C1")
    assert both.apply_changes({"channel_name": "#security-alerts"}) == both
    assert both.apply_changes({"channel_id": "C1"}) == both
    assert both.apply_changes({"channel_id": "C2", "channel_name": "ops"}).channel_name == "ops"


def test_an_ok_is_a_receipt():
    assert not read(body=b'{"ok":true,"channel":"C1","ts":"1.2"}').failures
    assert not read(body=b'{"channel":"C1","ok":true}').failures


def test_an_ok_whose_message_was_cut_off_is_not_sent_again():
    assert not read(body=b'{"ok":true,"channel":"C1","message":{"text":"\\u6771\\u4e').failures


@pytest.mark.guarantee("P4")
@pytest.mark.parametrize("code", GONE.split())
def test_an_error_of_the_destination_parks_it(code):
    with pytest.raises(DestinationGone, match=code):
        read(body=not_ok(code))


@pytest.mark.guarantee("P4")
@pytest.mark.parametrize("code", REFUSED.split())
def test_an_error_of_the_message_refuses_it_alone(code):
    with pytest.raises(EventRefused, match=code):
        read(body=not_ok(code))


@pytest.mark.parametrize("code", TEMPORARY.split())
def test_any_other_error_is_tried_again_not_before_it_says(code):
    with pytest.raises(Temporary, match=code) as caught:
        read(body=not_ok(code), retry_after="30")
    assert caught.value.retry_after == 30


@pytest.mark.guarantee("P4")
def test_a_429_is_tried_again_not_before_it_says():
    with pytest.raises(Temporary) as caught:
        read(429, not_ok("ratelimited"), retry_after="12")
    assert caught.value.retry_after == 12


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"ok":tr', b'{"ok":false}', b'{"ok":"true"}', b"[true]"])
def test_an_answer_that_can_not_be_read_is_tried_again(body):
    with pytest.raises(Temporary):
        read(body=body)


def test_the_code_of_an_error_counts_whatever_the_status_unless_slack_is_in_trouble():
    with pytest.raises(DestinationGone):
        read(403, not_ok("invalid_auth"))
    with pytest.raises(Temporary):
        read(503, not_ok("invalid_auth"))


def test_an_ok_under_a_status_of_failure_is_no_receipt():
    with pytest.raises(Temporary):
        read(502, b'{"ok":true}')
