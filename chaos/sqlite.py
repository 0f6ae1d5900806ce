"""The embedded database of a run: a file on the disk that may become full."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class File:
    """The file."""

    vendor = "sqlite"

    def __init__(self, disk: Path) -> None:
        self.disk, self.path = disk, disk / "eventsinks.sqlite3"
        self.url = f"sqlite:///{self.path}"

    def connect(self) -> sqlite3.Connection:
        """Return a new connection."""
        return sqlite3.connect(self.path, timeout=20, isolation_level=None)

    def close(self) -> None:
        """Nothing runs."""
