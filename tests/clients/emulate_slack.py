"""A Slack that nobody here wrote: `emulate`, installed from the registry and kept in var/clients."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.clients.environment import ROOT, run

PACKAGE = Path(__file__).parent / "emulate" / "package.json"


def emulate():
    """Return the program, as package.json pins it. Skips the test where there is no Node."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not here")
    directory = ROOT / "var" / "clients" / f"emulate-{hashlib.sha256(PACKAGE.read_bytes()).hexdigest()[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not (directory / "ready").exists():
            shutil.copy(PACKAGE, directory)
            run("npm", "install", "--prefix", directory, "--no-package-lock", "--no-audit", "--no-fund")
            (directory / "ready").touch()
    return directory / "node_modules" / "emulate" / "dist" / "index.js"


def start(seed):
    """Start it with the seed file; return (process, URL)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", emulate(), "start", "--service", "slack", "--port", str(port), "--seed", seed]
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    process.kill()
    process.wait()
    pytest.fail("emulate did not start")
