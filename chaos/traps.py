"""Traps: a real process of the product kills itself at a named point, if the trap at that point is set.

A trap is a file in the folder CHAOS_TRAPS. The first process that comes to the point takes it away and dies. The
points are outside of the product: names are wrapped where the engine looks them up.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db import transaction

Function = Callable[..., Any]
# The points of a web process, and those of a worker.
WEB = ("before commit", "after commit", "before the answer")
WORKER = (
    "after claim",
    "before request",
    "after request",
    "during record",
    "after record",
    "before the next of a line",
    "after a batch is saved",
    "before a batch",
    "after a batch",
    "during record of a batch",
    "before an object",
    "after an object",
)


class Traps(AppConfig):
    """The application that sets the points into every process of the product."""

    name = "chaos"

    def ready(self) -> None:
        """Wrap the names."""
        if "CHAOS_TRAPS" in os.environ:
            wrap_names()


def spring(point: str) -> None:
    """Die here if the trap is set."""
    folder = Path(os.environ["CHAOS_TRAPS"])
    try:
        (folder / point).rename(folder / f"{point} {os.getpid()}")
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def wrap_names() -> None:
    """Wrap what the points are named after."""
    from eventsinks.destinations.s3 import S3
    from eventsinks.door import committer
    from eventsinks.intake import commit, nudge
    from eventsinks.lib.net.http import Outlet
    from eventsinks.sending import dispatcher, settle_attempts
    from eventsinks.streaming import streamer

    wrap(commit, "nudge", before="before commit")
    wrap(nudge, "send_nudge", before="after commit")
    wrap(committer, "write_body", after="before the answer")
    wrap(dispatcher, "claim", after="after claim")
    wrap(Outlet, "start", before="before request")
    wrap(Outlet, "poll", after="after request")
    wrap_uncommitted(settle_attempts, "settle", "during record")
    wrap(settle_attempts, "settle", after="after record")
    wrap(settle_attempts, "call_next", before="before the next of a line")
    wrap(streamer, "open_next_batch", after="after a batch is saved")
    wrap(streamer, "transmit", before="before a batch", after="after a batch")
    wrap_uncommitted(streamer, "settle_batch", "during record of a batch")
    wrap(S3, "_write", before="before an object", after="after an object")


def wrap(place: Any, name: str, *, before: str = "", after: str = "") -> None:
    """Have a trap before a function, or after it has returned something."""
    function: Function = getattr(place, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            spring(before)
        result = function(*arguments, **named)
        if after and (result or result is None):
            spring(after)
        return result

    setattr(place, name, wrapped)


def wrap_uncommitted(place: Any, name: str, point: str) -> None:
    """Have a trap where a function has done its work, but has not committed it."""
    function: Function = getattr(place, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        with transaction.atomic():
            result = function(*arguments, **named)
            spring(point)
        return result

    setattr(place, name, wrapped)
