"""The id of a request, which its answer carries and its log lines name."""

from __future__ import annotations

import re
import uuid

USABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def choose_request_id(given: str) -> str:
    """Return the caller's id where it is usable, a new one otherwise."""
    return given if USABLE.fullmatch(given) else uuid.uuid4().hex
