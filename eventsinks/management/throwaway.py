"""Throw-away settings: for a system that is deleted afterwards.

Standard library only, because Django is not loaded yet.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

MARK = "EVENTSINKS_THROWAWAY"  # names the directory; a process that finds it set removes the directory at its end
# Each would lead to lasting data. We set each, even if empty, so that no .env file can override it.
LASTING = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "EVENTSINKS_ENCRYPTION_KEYS")


def make_environment(current: Mapping[str, str]) -> dict[str, str]:
    """Return `current`, with all storage in a new directory of its own."""
    directory = tempfile.mkdtemp(prefix="eventsinks-")
    files = [f"{name}_FILE" for name in LASTING]
    changed = {name: value for name, value in current.items() if name not in files}
    changed |= {
        **dict.fromkeys(LASTING, ""),
        "DATABASE_URL": f"sqlite:///{directory}/eventsinks.sqlite3",
        "EVENTSINKS_VAR": directory,
        MARK: directory,
    }
    return changed


def is_throwaway() -> bool:
    """Whether this process has such settings."""
    return MARK in os.environ
