"""The web server: `python -m project.serve [--host ADDRESS] [--port NUMBER] [--shared]`.

It runs EVENTSINKS_WEB_PROCESSES processes at one socket, and starts a new one if one dies. After SIGTERM, they
finish their current requests and end.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import multiprocessing
import os
import resource
import socket
import sys
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from eventsinks.front.limits import KEEP_ALIVE
from eventsinks.management.processes import make_preexec

BACKLOG = 4096  # connections that wait to be accepted
FILES = 65_536  # the limit of descriptors is raised to this, if the hard limit allows it
GRACE = 10  # seconds beyond the timeout of an exchange to finish current requests
METRICS_FOLDER = "EVENTSINKS_METRICS_FOLDER"  # names to the processes the folder in which they share their counts
HANGS = 30  # seconds after which a process that does not respond is replaced


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    asked = options().parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    raise_files()
    server = Multiprocess(configuration(), [listening(asked.host, asked.port, shared=asked.shared)])
    # A server that is killed leaves this folder: in our own one, unless that can't be written, as in a container.
    there = settings.VAR_DIR if os.access(settings.VAR_DIR, os.W_OK) else None
    with TemporaryDirectory(prefix="metrics-", dir=there, ignore_cleanup_errors=True) as folder:
        os.environ[METRICS_FOLDER] = folder  # the children inherit it
        server.run()
    if any(process.exitcode not in (0, -15) for process in server.processes):
        sys.exit(1)


def options() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(prog="python -m project.serve", description="Run the web server.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen at (8000)")
    parser.add_argument("--shared", action="store_true", help="let another process hold the same port")
    return parser


class Served(Config):
    """The configuration of uvicorn."""

    def load_app(self) -> Any:
        """Return the application, in a process that ends with its parent.

        If it can't be loaded, all processes end.
        """
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid is not None:
            make_preexec(parent.pid)()
        try:
            return super().load_app()
        except Exception:
            logging.getLogger(__name__).exception("the web server can't start")
            sys.exit(STARTUP_FAILURE)


def configuration() -> Config:
    """Return the options of uvicorn. It brings no logging of its own: the application's applies."""
    return Served(
        "project.asgi:application",
        loop="uvloop",
        http="eventsinks.front.connection:Connection",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=settings.EVENTSINKS_WEB_PROCESSES,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.EVENTSINKS_TIMEOUT + GRACE),
        timeout_worker_healthcheck=HANGS,
    )


def listening(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket bound to the address. Raises OSError if the address is in use."""
    six = ipaddress.ip_address(host).version == 6
    bound = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    bound.listen(BACKLOG)
    bound.set_inheritable(True)
    return bound


def raise_files() -> None:
    """Raise the limit of open files of this process and its children as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if 0 <= soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    main()
