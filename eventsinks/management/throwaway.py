"""Settings for a system that is thrown away afterwards. Standard library only: read before Django is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

MARK = "EVENTSINKS_THROWAWAY"  # names the directory; whoever finds it set removes it at the end
# Each would lead to something that lasts. Set, if only to nothing, so that no .env file can say otherwise.
LASTING = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "EVENTSINKS_ENCRYPTION_KEYS")


def make_environment(current: Mapping[str, str]) -> dict[str, str]:
    """Return `current` with everything that is kept led to a new directory of its own."""
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
