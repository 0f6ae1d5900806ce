"""Request ids: the answer to a request carries its id, and its log lines name it."""

from __future__ import annotations

import os
import re

USABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")
ABOUT = "eventsinks.about"  # of the environ: what an application adds to the log line of the request


def choose_request_id(given: str) -> str:
    """Return the caller's id if it is usable, otherwise a new one."""
    return given if USABLE.fullmatch(given) else os.urandom(16).hex()
