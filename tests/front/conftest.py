"""A real web server, in processes of its own, over the tables of the tests; and clients that misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.helpers.broker import named

ROOT = Path(__file__).parents[2]
STARTUP = 60  # seconds; much less, unless the machine has other things to do
ALERT = json.dumps({"name": "Root login", "severity": "High"}).encode()


class Server:
    """One `python -m project.serve` at a free port."""

    def __init__(self, few_files=None, **settings):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        environment = {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": broker_url(), **settings}
        environment |= {"DJANGO_SETTINGS_MODULE": "project.settings", "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
        command = [sys.executable, "-W", "ignore", "-m", "project.serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=few_files,
        )
        until = time.monotonic() + STARTUP
        while not self.answers():
            assert self.process.poll() is None, "it ended while it started"
            assert time.monotonic() < until, "it did not start"
            time.sleep(0.05)

    def answers(self):
        """Whether it lives."""
        try:
            return self.ask("GET /healthz")[0] == 200
        except OSError:
            return False

    def connect(self, sent=b"", seconds=20):
        """Return a connection on which something was sent."""
        client = socket.create_connection(self.address, timeout=seconds)
        client.sendall(sent)
        return client

    def ask(self, line, *headers, body=None, key=None, seconds=20):
        """Send a request; return status, headers and body of the answer."""
        with self.connect(head(line, *headers, body=body, key=key), seconds) as client:
            if body:
                client.sendall(body)
            return read_answer(client)

    def workers(self):
        """Return the processes that answer."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"spawn_main" in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def stop(self):
        """End it; nothing of it is left."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def database_url():
    """Return the URL of the tables of the tests."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}").geturl()


def broker_url():
    """Return where the broker is, or where none is: the server works without one."""
    return named() or "redis://127.0.0.1:9/0"


def head(line, *headers, body=None, key=None):
    """Return a request's head; `line` is its method and path."""
    lines = [f"{line} HTTP/1.1", "Host: localhost", *headers]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body is not None else []
    return "\r\n".join([*lines, "", ""]).encode("latin1")


def read_answer(client):
    """Return status, headers and body of the next answer. Raises ConnectionError where there is none."""
    came = b""
    while b"\r\n\r\n" not in came:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError(f"no answer: {came!r}")
        came += piece
    top, _, body = came.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError("half an answer")
        body += piece
    return int(first.split()[1]), headers, body


def until(happens, seconds=30):
    """Wait until something happens; return whether it did."""
    end = time.monotonic() + seconds
    while not (happened := happens()) and time.monotonic() < end:
        time.sleep(0.02)
    return happened


@pytest.fixture(scope="module")
def serve(django_db_setup, django_db_blocker):
    """Return what starts a server; all are stopped at the end."""
    started = []

    def serve(**settings):
        started.append(Server(**{"EVENTSINKS_WEB_PROCESSES": "1", **settings}))
        return started[-1]

    yield serve
    for one in started:
        one.stop()


def says_both(answer, status):
    """Check an answer of the front: in both formats' shapes, and with an id."""
    said, headers, body = answer
    document = json.loads(body)
    assert (said, document["code"]) == (status, status), answer
    assert document["error"]["code"]
    assert document["error"]["message"] == document["message"]
    assert document["error"]["fields"] == []
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    return headers
