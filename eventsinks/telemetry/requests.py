"""Requests: one log line for each answered request, written in groups, so that a line costs very little."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from eventsinks.telemetry.lines import write_lines

WRITE_EVERY = 0.1  # seconds


class RequestLines:
    """The lines of one web process that are not written yet. Only its event loop adds to them."""

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, Any]] = []

    def add(self, facts: Mapping[str, Any]) -> None:
        """Write what is known of one request within WRITE_EVERY. The line has the time of the writing."""
        self._waiting.append(facts)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(WRITE_EVERY, self.write)

    def write(self) -> None:
        """Write all that waits."""
        lines, self._waiting = self._waiting, []
        write_lines("request.answered", lines)
