"""The meanings of Slack's answers. The error code is in the body, and the status may be anything.

https://docs.slack.dev/reference/methods/chat.postMessage#errors and of chat.update, conversations.join.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from eventsinks.destinations.base import Answers, Meaning, Message
from eventsinks.destinations.slack.blocks import MAX_TEXT, escape_text
from eventsinks.lib.net.wire import Response

BROKEN = """
access_denied accesslimited account_inactive cant_invite channel_not_found channel_type_not_supported
deprecated_endpoint ekm_access_denied enterprise_is_restricted invalid_auth is_archived messages_tab_disabled
method_deprecated method_not_supported_for_channel_type missing_scope no_permission not_allowed_token_type
not_authed not_in_channel org_login_required posting_to_channel_denied restricted_action
restricted_action_non_threadable_channel restricted_action_read_only_channel restricted_action_thread_locked
restricted_action_thread_only_channel team_access_not_granted team_not_found token_expired token_revoked
two_factor_setup_required user_is_restricted
"""
PASSING = """
external_channel_migrating fatal_error internal_error message_limit_exceeded messaging_processing_failed
rate_limited ratelimited request_timeout service_unavailable team_added_to_org update_failed
"""
# Errors in the message itself. The alert must arrive, even if the error is our own.
PLAINER = """
as_user_not_supported attachment_payload_limit_exceeded block_mismatch cant_broadcast_message cant_update_message
cannot_reply_to_message duplicate_channel_not_found duplicate_message_not_found edit_window_closed
file_share_limit_reached invalid_arg_name invalid_arguments invalid_array_arg invalid_attachments invalid_blocks
invalid_blocks_format invalid_charset invalid_form_data invalid_json invalid_metadata_format
invalid_metadata_schema invalid_post_type is_inactive json_not_object markdown_text_conflict
max_file_sharing_exceeded message_not_found metadata_must_be_sent_from_app metadata_too_large missing_charset
missing_file_data missing_post_type msg_blocks_too_long msg_too_long no_dual_broadcast_content_update no_text
slack_connect_blocked_file_type slack_connect_canvas_sharing_blocked slack_connect_clip_sharing_blocked
slack_connect_file_link_sharing_blocked slack_connect_file_upload_sharing_blocked
slack_connect_lists_sharing_blocked thread_not_found too_many_attachments too_many_contact_cards
"""
NOT_OK = "no_error_code"  # ours: it says neither `ok` nor what is wrong


def says_ok(body: bytes) -> bool:
    """Whether Slack accepted the message. Its answer repeats the message. If that is cut, it is not JSON."""
    begins_ok = re.match(rb'\s*\{\s*"ok"\s*:\s*true\b', body)
    return begins_ok is not None or read_answer(body).get("ok") is True


def read_answer(body: bytes) -> dict[str, Any]:
    """Return Slack's answer. It is empty if it is not JSON."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def find_code(response: Response) -> str:
    """Return the error code of an answer that is not `ok`."""
    if response.ok and says_ok(response.body):
        return ""
    said = read_answer(response.body).get("error")
    return said[:100] if isinstance(said, str) and said else NOT_OK * response.ok


ANSWERS = Answers(
    "Slack",
    codes={
        **dict.fromkeys(BROKEN.split(), Meaning.BROKEN),
        **dict.fromkeys(PASSING.split(), Meaning.PASSING),
        **dict.fromkeys(PLAINER.split(), Meaning.PLAINER),
        NOT_OK: Meaning.PASSING,
    },
    why={NOT_OK: "its answer can't be read"},
    code=find_code,
)


def simplify_request(body: bytes, message: Message) -> bytes:
    """Return a refused request without its blocks. Its content is plain text instead."""
    given = orjson.loads(body)
    shape = ("blocks", "attachments", "text")
    kept = {name: value for name, value in given.items() if name not in shape}
    text = "\n".join(filter(None, [given["text"], message.summary.text, message.summary.link]))
    return orjson.dumps({**kept, "text": escape_text(text, MAX_TEXT)})
