"""What Slack's answers mean: its error codes stand in the body, whatever the status says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from eventsinks.destinations.base import (
    DestinationGone,
    EventRefused,
    Message,
    SendFailure,
    Temporary,
    judged,
    retry_after,
)
from eventsinks.destinations.slack_blocks import MAX_TEXT, escaped
from eventsinks.lib.wire import Response

# https://docs.slack.dev/reference/methods/chat.postMessage#errors; any other may mend itself.
GONE = re.compile(
    r"channel_not_found|not_in_channel|is_archived|missing_scope|no_permission|restricted_action\w*"
    r"|not_allowed_token_type|invalid_auth|not_authed|token_revoked|token_expired|account_inactive"
)
REFUSED = re.compile(
    r"invalid_blocks|invalid_blocks_format|msg_blocks_too_long|msg_too_long|no_text|too_many_attachments"
)


def says_ok(body: bytes) -> bool:
    """Whether Slack took the message. It repeats it, and a repetition that was cut is no JSON."""
    begins_ok = re.match(rb'\s*\{\s*"ok"\s*:\s*true\b', body)
    return begins_ok is not None or answer(body).get("ok") is True


def answer(body: bytes) -> dict[str, Any]:
    """Return Slack's answer, empty where it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def failure(response: Response) -> SendFailure:
    """Return what an answer that is not `ok` means: its error code says it, else its status."""
    said = answer(response.body).get("error")
    code = said[:100] if isinstance(said, str) and response.status < 500 else ""
    reason = f"Slack answered {code}" if code else "Slack's answer can't be read"
    if GONE.fullmatch(code):
        return DestinationGone(reason, response)
    if REFUSED.fullmatch(code):
        return EventRefused(reason, response)
    if not response.ok:
        return judged(response)
    return Temporary(reason, response, retry_after(response, datetime.now(UTC)))


def in_words(body: bytes, message: Message) -> bytes:
    """Return a refused request with its blocks taken away and all that is worth telling as plain text.

    An alert must arrive, also where Slack does not like how it is laid out.
    """
    given = orjson.loads(body)
    shape = ("blocks", "attachments", "text")
    kept = {name: value for name, value in given.items() if name not in shape}
    text = "\n".join(filter(None, [given["text"], message.summary.text, message.summary.link]))
    return orjson.dumps({**kept, "text": escaped(text, MAX_TEXT)})
