"""What the machine must have, and the small disk that a run may fill."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000  # of unshare(2): mounts of this process vanish with it
DISK = "600m"
PIECE = b"\0" * (1 << 20)


class Lacking(Exception):
    """The machine lacks something that a run needs."""


def find_postgresql() -> Path:
    """Return the folder of PostgreSQL's programs. Raises Lacking."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if there := shutil.which("initdb"):
        return Path(there).parent
    raise Lacking("PostgreSQL's programs (initdb, postgres) are missing. On Debian: apt install postgresql")


def choose_user() -> dict[str, str]:
    """Return the options of Popen with which PostgreSQL runs as a user that is not root."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


def may_mount() -> bool:
    """Let what is mounted from here on be seen by this process and its children only. Return False if it can't be.

    Then no disk can become full.
    """
    libc = ctypes.CDLL(None)
    return os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0 and call("mount", "--make-rprivate", "/")


def make_small_disk(folder: Path) -> None:
    """Put a small file system of memory at `folder`. Raises Lacking."""
    if not call("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "chaos", str(folder)):
        raise Lacking("no small disk could be mounted")


def call(*command: str) -> bool:
    """Return whether a command succeeded."""
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def fill_disk(folder: Path) -> Path:
    """Fill the disk of `folder` to its last byte. Return the file that does it."""
    path = folder / "ballast"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(PIECE)
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512):
            write_until_full(file.fileno(), size)
    return path


def write_until_full(descriptor: int, size: int) -> None:
    """Write pieces of this size until nothing more fits."""
    try:
        while os.write(descriptor, b"\0" * size) == size:
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
