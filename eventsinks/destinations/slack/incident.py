"""An incident in Slack after its first message.

The first message is edited when the incident changes, and still shows what was firing. Each piece of news is an
answer in its thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from slack_sdk.models import blocks as kit

from eventsinks.destinations.base import Message
from eventsinks.destinations.base.rendering import render_heading
from eventsinks.destinations.slack.blocks import (
    MAX_FALLBACK,
    MAX_TEXT,
    choose_look,
    escape_mrkdwn,
    escape_notification,
    escape_text,
    make_rich_text,
    make_status_line,
    make_strong,
)
from eventsinks.event_types.base import Summary

# The first message can't be edited or answered: https://docs.slack.dev/reference/methods/chat.update#errors
LOST = re.compile(
    r"message_not_found|cant_update_message|edit_window_closed|update_failed|cannot_reply_to_message"
    r"|thread_not_found|is_inactive|restricted_action_thread_locked|restricted_action_non_threadable_channel"
)


@dataclass(frozen=True)
class SlackIncident:
    """An incident in a channel. `ts` is its first message, `first` its summary, `last` the newest delivery."""

    channel: str
    ts: str
    status: str
    last: str
    first: Summary
    count: int = 1

    @classmethod
    def of(cls, memory: Mapping[str, Any] | None) -> Self | None:
        """Return the remembered incident. Return None if nothing usable was remembered."""
        try:
            return cls(**{**memory, "first": read_summary(memory["first"])}) if memory else None
        except (KeyError, TypeError):
            return None

    def memory(self) -> dict[str, Any]:
        """Return the memory to store."""
        return {**asdict(self), "first": asdict(shorten_summary(self.first))}

    def after(self, message: Message) -> SlackIncident:
        """Return the incident with the news of `message`. If it fires again, the status stays."""
        status = message.summary.status
        return replace(
            self,
            status=self.status if status == "firing" else status,
            last=max(self.last, str(message.id)),
            count=self.count + 1,
        )

    def is_told(self, message: Message) -> bool:
        """Whether the news of this delivery was sent before."""
        return self.last == str(message.id)

    def is_over_for(self, message: Message) -> bool:
        """Whether `message` begins a new incident: it fires after this one was resolved."""
        later = str(message.id) > self.last  # ids are in order of time
        return self.status == "resolved" and message.summary.status == "firing" and later


def shorten_summary(summary: Summary) -> Summary:
    """Return the part of a summary that is remembered."""
    return replace(summary, text=summary.text[:MAX_TEXT], details={})


def read_summary(kept: Mapping[str, Any]) -> Summary:
    """Return a summary from its JSON. Raises TypeError if it is not a summary."""
    known = {field.name for field in fields(Summary)}
    return Summary(**{name: freeze(value) for name, value in kept.items() if name in known})


def freeze(value: Any) -> Any:
    """Return a value with tuples instead of lists, at every depth."""
    return tuple(map(freeze, value)) if isinstance(value, list) else value


def make_answer(summary: Summary) -> dict[str, Any]:
    """Return the answer in the thread: the news, in short."""
    mark, _ = choose_look(summary.severity, summary.status)
    line = f"{mark} {make_status_line(summary.severity, summary.status)}: {render_heading(summary, MAX_FALLBACK)}"
    told: list[kit.Block] = [make_rich_text(make_strong(line))]
    if summary.text.strip():
        told.append(kit.SectionBlock(text=escape_mrkdwn(escape_text(summary.text, MAX_TEXT))))
    return {"text": escape_notification(line), "blocks": [block.to_dict() for block in told]}
