"""The whole system on one machine: broker, web server, worker and beat, as one family of processes."""

from __future__ import annotations

import errno
import http.client
import io
import os
import socket
import sys
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from eventsinks.actions.secrets.reencrypt import finish_binding
from eventsinks.management import broker
from eventsinks.management.processes import Family, StopRequests

WEB = "web server"
HOST = "127.0.0.1"
FIRST_PORT = 8000
PORTS = 100  # how many ports are tried, from the first one on
STARTUP = 60.0  # seconds that the web server may take to answer
# Celery warns root about pickled messages, which we do not accept.
QUIET = "ignore:You're running the worker with superuser privileges"
GRACE = 10.0  # seconds beyond the timeout of an exchange that a stop may take


class System:
    """The system that `run` runs. Its processes write to `output`, by default where we write."""

    def __init__(self, output: IO[bytes] | None = None) -> None:
        self.family = Family(StopRequests(), settings.EVENTSINKS_TIMEOUT + GRACE, output)
        self._ready = False
        self._held = hold_port(int(os.environ.get("PORT") or FIRST_PORT))
        self.port: int = self._held.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._environment = {**os.environ, "PORT": str(self.port)}
        self._environment.setdefault("PUBLIC_URL", self.url)
        self._environment.setdefault("PYTHONWARNINGS", QUIET)
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start everything, migrate, and return when the server answers requests.

        Raises processes.Fallen, and CommandError for settings that can't work.
        """
        self._start_broker()
        self._start(WEB, "project.serve", "--host", HOST, "--port", str(self.port), "--shared")
        call_command("check", stdout=io.StringIO())
        migrate()
        finish_binding(at_once=True)  # no other process is here
        worker = ("worker", "--loglevel", "WARNING", "--without-mingle", "--without-gossip")
        self._start("worker", *make_celery_command(), *worker)
        self.family.wait_until(self.answers, STARTUP, "an answer of the web server")
        self._ready = True
        self._start("beat", *make_celery_command(), "beat", "--loglevel", "WARNING")

    def stop(self) -> None:
        """Stop everything, in order."""
        if not self._ready:
            self.family.kill(WEB)  # it has nothing to finish while it starts
        self.family.stop()
        self._held.close()

    def answers(self) -> bool:
        """Whether the web server answers."""
        client = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def _start_broker(self) -> None:
        if os.environ.get("REDIS_URL") or os.environ.get("REDIS_URL_FILE"):
            return
        embedded = broker.Broker(settings.VAR_DIR)
        self.family.start(
            "broker", embedded.command, self._environment, told=embedded.configuration, stops_last=True
        )
        self.family.wait_until(embedded.answers, broker.PATIENCE, "an answer of the broker")
        self._environment["REDIS_URL"] = embedded.url

    def _start(self, name: str, module: str, *arguments: str) -> None:
        self.family.start(name, [sys.executable, "-m", module, *arguments], self._environment)


def make_celery_command() -> list[str]:
    """Return the module, and its first arguments."""
    return ["celery", "--quiet", "-A", "project"]


def hold_port(first: int) -> socket.socket:
    """Return a socket that holds the first free port from `first` on. The web server can share the port."""
    for port in range(first, first + PORTS):
        try:
            with socket.socket() as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind((HOST, port))
            held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((HOST, port))
            return held
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise OSError(errno.EADDRINUSE, f"no free port from {first} to {first + PORTS - 1}; set PORT")


def migrate() -> None:
    """Migrate the tables if necessary."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)
