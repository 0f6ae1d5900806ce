"""Environments of their own for real clients, installed from a hashed lock file and kept in var/clients."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNREACHABLE = re.compile(
    r"failed to fetch|error sending request|connection (refused|error|timed out|reset)|could not connect|timed out"
    r"|temporary failure in name resolution|dns error|network is unreachable|newconnectionerror"
    r"|max retries exceeded",
    re.IGNORECASE,
)


def python_of(name):
    """Return the Python of the client `name`, as tests/clients/<name>.lock says.

    Skips the test where the package registry can't be reached, but not in CI; fails where anything else is wrong.
    """
    lock = Path(__file__).parent / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    directory = ROOT / "var" / "clients" / f"{name}-{digest}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{name}.busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # several processes of the tests may want it at once
        if not (directory / "ready").exists():
            install(directory, lock)
            (directory / "ready").touch()
    return directory / "bin" / "python"


def install(directory, lock):
    """Make the environment at `directory`."""
    shutil.rmtree(directory, ignore_errors=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    python = directory / "bin" / "python"
    if uv:
        run(uv, "venv", "--quiet", "--python", sys.executable, directory)
        run(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock)
    else:
        run(sys.executable, "-m", "venv", directory)
        run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock)


def run(*command):
    environment = {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never", **os.environ}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, check=False)
    if not done.returncode:
        return
    if UNREACHABLE.search(done.stderr) and not os.environ.get("CI"):
        pytest.skip(f"the package registry can't be reached: {done.stderr.strip()[-300:]}")
    pytest.fail(f"{' '.join(map(str, command))}: {done.stderr}")
