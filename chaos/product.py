"""The processes of the product, with the commands with which `manage.py run` starts them, and a supervisor.

A process that dies is started again at once, as systemd or Kubernetes would do it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from chaos.processes import ROOT, Program, find_free_port, wait_until

WORKERS = 2
STARTUP = 120.0
DAY = 86_400
CLOCKS = (0, 0, 0, DAY, -DAY)  # seconds by which the clock of a new worker is off
WORKER = ("worker", "--loglevel", "WARNING", "--without-mingle", "--without-gossip")
QUIET = ("-W", "ignore:You're running the worker with superuser privileges")


class Product:
    """One web server with two processes, two workers and a beat."""

    def __init__(self, folder: Path, disk: Path, database: str, broker: str, far: str, bucket: str) -> None:
        self.port = find_free_port()
        self.traps = folder / "traps"
        self.traps.mkdir()
        self._logs = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EVENTSINKS_", "TEST_"))},
            "DJANGO_SETTINGS_MODULE": "chaos.settings",
            "CHAOS_TRAPS": str(self.traps),
            "DATABASE_URL": database,
            "REDIS_URL": broker,
            "EVENTSINKS_VAR": str(disk),
            "SECRET_KEY": "only for a run of chaos",
            "EVENTSINKS_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "EVENTSINKS_TIMEOUT": "2",
            "EVENTSINKS_LEASE": "12",
            "EVENTSINKS_RETRY_SCHEDULE": ",".join(["1"] * 99),
            "EVENTSINKS_WORKER_THREADS": "4",
            "SLACK_BASE_URL": f"{far}/slack/",
            "PAGERDUTY_URL": f"{far}/pagerduty",
            "AWS_ENDPOINT_URL": bucket,
            "LOG_LEVEL": "WARNING",
        }
        self.web = self._make("web", "project.serve", "--port", str(self.port), "--shared")
        self.beat = self._make("beat", *self._celery("beat", "--loglevel", "WARNING", "--pidfile="))
        self.workers = [self._make(f"worker {number}", *self._celery(*WORKER)) for number in range(WORKERS)]
        self.clocks = dict.fromkeys((worker.name for worker in self.workers), 0)
        self._children: set[psutil.Process] = set()  # of all web servers: they outlive their parent for a moment

    def _make(self, name: str, *module: str) -> Program:
        command = [sys.executable, *QUIET, "-m", *module]
        return Program(name, command, self.environment, self._logs / f"{name}.log")

    def _celery(self, *arguments: str) -> list[str]:
        return ["celery", "--quiet", "-A", "project", *arguments]

    def prepare(self, far: str) -> dict[str, Any]:
        """Make the tenant. Return its key and its destinations."""
        command = [sys.executable, "-m", "chaos.tenant", far]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def start(self) -> None:
        """Start everything, and wait until the web server answers."""
        for program in self.programs:
            program.start()
        wait_until(self.answers, STARTUP, "an answer of the web server")

    @property
    def programs(self) -> list[Program]:
        """All of them."""
        return [self.web, self.beat, *self.workers]

    def answers(self) -> bool:
        """Whether the web server answers."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def web_children(self) -> list[int]:
        """Return the processes that answer requests."""
        try:
            found = psutil.Process(self.web.pid).children()
            self._children |= set(found)
            return [child.pid for child in found if any("spawn_main" in word for word in child.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def restart_dead(self, dice: random.Random) -> list[str]:
        """Start again what has died; a worker perhaps with a wrong clock. Return their names."""
        dead = [program for program in self.programs if not program.runs()]
        for program in dead:
            if program in self.workers:
                self.clocks[program.name] = dice.choice(CLOCKS)
            program.start(CHAOS_CLOCK=str(self.clocks.get(program.name, 0)))
        return [program.name for program in dead]

    def count_tracebacks(self) -> int:
        """Return how many tracebacks are in the logs."""
        return sum(
            program.log.read_text(errors="replace").count("Traceback (most recent call last)")
            for program in self.programs
            if program.log.exists()
        )

    def balance(self) -> str:
        """Return what the command `account` says, with the status at its end."""
        command = [sys.executable, "manage.py", "account"]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return done.stdout.decode().strip() + ("" if done.returncode == 0 else f"\nexit status {done.returncode}")

    def close(self) -> None:
        """End all."""
        self.web_children()
        for program in self.programs:
            program.sweep_away()
        for child in self._children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
