"""Our side: the whole system as `make run` runs it, on its own database and its own broker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.cpu import used
from bench.deliveries import ROOT, broker, database_server, environment_of
from bench.end_to_end.far_end import FarEnds
from bench.end_to_end.generator import Load
from bench.end_to_end.probe import Probe
from bench.end_to_end.rows import Row
from eventsinks.management.processes import make_preexec

STARTUP = 120.0  # seconds
SETTLED = 20.0  # seconds that the rest of the start may take
RESTS = 0.15  # seconds of CPU in a second: less is not the start any more
# A word in the command of each process of the system, and the part of the cost that it counts to.
PARTS = {"project.serve": "web", "worker": "worker", "beat": "beat"}
PATHS = {"alert": "/v1/detection_alert", "audit": "/api/events/audit", "flow": "/api/events/network-traffic"}
TYPES = {"alert": "detection_alert", "audit": "audit", "flow": "network_traffic"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is on record of a tenant, and what all have cost."""

    events: int
    delivered: int
    streamed: int
    commits: int
    commands: int


class Ours:
    """The running system, with the tenants of all rows."""

    def __init__(self, port: int, pids: dict[str, list[int]], probe: Probe, tenants: dict[str, Any]) -> None:
        self.probe = probe
        self.resting: dict[str, float] = {}  # CPU-seconds of each part in a second in which nothing comes
        self._port = port
        self.pids = pids
        self._tenants = tenants

    def make_load(self, row: Row, first: int, seconds: float) -> Load:
        """Return what is posted for a row."""
        scheme = "Bearer" if row.kind == "alert" else "Token"
        key = f"{scheme} {self._tenants[row.tenant]['key']}"
        path = PATHS[row.kind]
        return Load(
            *(self._port, path, key, row.kind, row.each > 1),
            *(row.each, row.connections, first, seconds, row.rate),
        )

    def measure_used(self) -> dict[str, float]:
        """Return the CPU-seconds of each part so far."""
        return {part: used(pids) for part, pids in self.pids.items()}

    def read_standing(self, row: Row) -> Standing:
        """Return what is on record for the tenant of a row."""
        tenant = self._tenants[row.tenant]
        destinations = [] if row.streams else tenant["destinations"]
        return Standing(
            self.probe.count_events(tenant["id"], TYPES[row.kind]),
            self.probe.count_delivered(destinations),
            self.probe.count_streamed(tenant["destinations"]) if row.streams else 0,
            self.probe.count_commits(),
            self.probe.count_commands(),
        )

    def is_over(self, row: Row, before: Standing, accepted: int) -> bool:
        """Whether everything accepted is settled, or is in the bucket."""
        destinations = self._tenants[row.tenant]["destinations"]
        if row.streams:
            return self.probe.count_streamed(destinations) - before.streamed >= accepted
        return not (row.sinks and self.probe.has_open(destinations))

    def check(self, row: Row, before: Standing, after: Standing, accepted: int) -> None:
        """Raise SystemExit unless exactly what was accepted is on record."""
        found = (after.events - before.events, after.delivered - before.delivered)
        if found != (accepted, accepted * row.sinks * (not row.streams)):
            raise SystemExit(f"{row.name}: {accepted} accepted, but (events, delivered) on record: {found}")


@contextlib.contextmanager
def run_ours(database: str, var: Path, far_ends: FarEnds, finished: int, pending: int) -> Iterator[Ours]:
    """Run the system on a new database until the block ends."""
    (var / "run").mkdir(parents=True)
    with broker(var) as (broker_pid, broker_url), database_server(database, var) as (database_pids, url):
        environment = environment_of(
            var / "run",
            url,
            REDIS_URL=broker_url,
            EVENTSINKS_ALLOWED_NETWORKS="127.0.0.1/32",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{far_ends.ports[-1]}",
            LOG_FORMAT="json",
            PORT=str(find_free_port()),
        )
        ports = [str(port) for port in far_ends.ports]
        steps = [sys.executable, "-m", "bench.end_to_end.inside", str(finished), str(pending), *ports]
        quiet = {**environment, "LOG_LEVEL": "WARNING"}
        done = subprocess.run(steps, env=quiet, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        with run_system(environment, var / "system.log") as (pid, port):
            pids = {**find_pids(pid), "database": database_pids, "broker": [broker_pid]}
            ours = Ours(port, pids, Probe(url, broker_url), json.loads(done.stdout.splitlines()[-1]))
            wait_until_rests(ours)
            yield ours


@contextlib.contextmanager
def run_system(environment: dict[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """Run what `make run` runs, with its output in `log`. Yield its pid and the port of the API."""
    command = [sys.executable, "manage.py", "run"]
    tie = make_preexec(os.getpid())
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=output, stderr=output, preexec_fn=tie
        )
        try:
            yield process.pid, wait_for_port(process, log)
        finally:
            process.terminate()
            process.wait(90)


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port of the API once the system says that it is ready."""
    until = time.monotonic() + STARTUP
    while "API key" not in (told := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the system did not start: {told[-3000:]}")
        time.sleep(0.1)
    return int(re.findall(r"API +http://[^:]+:(\d+)", told)[0])


def wait_until_rests(ours: Ours) -> None:
    """Wait until the start is over, beat's too, which begins last. Note what the system costs at rest."""
    until = time.monotonic() + SETTLED
    while sum(measure_rest(ours, 2).values()) > RESTS and time.monotonic() < until:
        pass
    ours.resting = measure_rest(ours, 5)


def measure_rest(ours: Ours, seconds: float) -> dict[str, float]:
    """Return the CPU-seconds of each part in a second, while nothing comes."""
    before = ours.measure_used()
    time.sleep(seconds)
    return {part: (cpu - before[part]) / seconds for part, cpu in ours.measure_used().items()}


def find_pids(pid: int) -> dict[str, list[int]]:
    """Return the pids of the parts. The parent of them all counts with beat."""
    found: dict[str, list[int]] = {part: [] for part in PARTS.values()}
    for child in psutil.Process(pid).children():
        found[next(part for word, part in PARTS.items() if word in child.cmdline())].append(child.pid)
    assert all(found.values()), f"not all of the system was found: {found}"
    return found


def find_free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
