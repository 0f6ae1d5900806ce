"""The peer: Prometheus Alertmanager, set up to send one notification for each alert, at once."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.cpu import used
from bench.end_to_end.far_end import FarEnds
from bench.end_to_end.generator import Load
from bench.end_to_end.rows import Row
from bench.end_to_end.system import find_free_port
from eventsinks.management.processes import make_preexec

PROGRAMS = ("prometheus-alertmanager", "alertmanager")  # Debian's name, and its own
STARTUP = 20.0  # seconds
ROUTE = """route:
  receiver: bench
  group_by: ['...']
  group_wait: 0s
  group_interval: 1h
  repeat_interval: 24h
receivers:
- name: bench
  webhook_configs:
"""


class Alertmanager:
    """A running Alertmanager."""

    resting: Mapping[str, float] = {}

    def __init__(self, port: int, pid: int) -> None:
        self._port = port
        self._pid = pid

    def make_load(self, row: Row, first: int, seconds: float) -> Load:
        """Return what is posted for a row."""
        return Load(
            *(self._port, "/api/v2/alerts", "none", "peer", True),
            *(row.each, row.connections, first, seconds, row.rate),
        )

    def measure_used(self) -> dict[str, float]:
        """Return its CPU-seconds so far."""
        return {"Alertmanager": used([self._pid])}


def find_program() -> str | None:
    """Return the path of the program, None if it is not on this machine."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def read_version(program: str) -> str:
    """Return its version."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return next(iter(re.findall(r"version ([\d.]+)", told.stdout + told.stderr)), "")


@contextlib.contextmanager
def run_alertmanager(program: str, far_ends: FarEnds, sinks: int) -> Iterator[Alertmanager]:
    """Run a new one, with so many webhooks, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as folder:
        yield from run_in(Path(folder), program, far_ends, sinks)


def run_in(var: Path, program: str, far_ends: FarEnds, sinks: int) -> Iterator[Alertmanager]:
    """Run a new one in a folder."""
    webhook = "  - url: http://127.0.0.1:{}/\n    send_resolved: false\n"
    (var / "alertmanager.yml").write_text(ROUTE + "".join(map(webhook.format, far_ends.ports[:sinks])))
    port = find_free_port()
    command = [
        program,
        f"--config.file={var / 'alertmanager.yml'}",
        f"--storage.path={var / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    tie = make_preexec(os.getpid())
    with (var / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=tie)
        try:
            wait_until_ready(port, process, var / "alertmanager.log")
            yield Alertmanager(port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers. Raises SystemExit."""
    until = time.monotonic() + STARTUP
    while time.monotonic() < until and process.poll() is None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.suppress(OSError), contextlib.closing(client):
            client.request("GET", "/-/ready")
            if client.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"Alertmanager did not start: {log.read_text()[-2000:]}")
