"""A whole system: a database of its own, and web servers, workers and beats as real processes; and its clients."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from eventsinks.lib.secrets.crypto import make_key

ROOT = Path(__file__).parents[2]
OURS = ("EVENTSINKS_", "TEST_", "DJANGO_", "DATABASE_", "REDIS_", "PYTEST_")
LONELY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")


@contextmanager
def own_database(folder, name):
    """Yield the URL of an empty database, beside that of the tests; it is gone afterwards."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder}/{name}.sqlite3"
        return
    name = f"{connection.settings_dict['NAME']}_{name}"
    run_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    run_sql(f'CREATE DATABASE "{name}"')
    try:
        yield urlsplit(os.environ["TEST_DATABASE_URL"])._replace(path=f"/{name}").geturl()
    finally:
        run_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


def run_sql(statement):
    """Run a statement that no transaction may be around."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


class System:
    """Processes over one database and one broker. All are gone after `close`; what they say is in `folder`."""

    def __init__(self, folder, database_url, broker_url, **settings):
        self.folder, self.started = folder, []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            "DATABASE_URL": database_url,
            "REDIS_URL": broker_url,
            "SECRET_KEY": make_key() + make_key(),
            "EVENTSINKS_ENCRYPTION_KEYS": make_key(),
            "EVENTSINKS_VAR": str(folder),
            "EVENTSINKS_WEB_PROCESSES": "1",
            "EVENTSINKS_TIMEOUT": "2",
            "EVENTSINKS_LEASE": "12",
            "EVENTSINKS_RETRY_SCHEDULE": ",".join(["1"] * 50),
            **settings,
        }

    def manage(self, *arguments, tree=ROOT):
        """Run a command of manage.py to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=tree,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def start(self, *arguments, tree=ROOT, within=()):
        """Start Python with these arguments, perhaps `within` another command. Return the process.

        Its log is what it says on standard error.
        """
        name = self.folder / str(len(self.started))
        with name.with_suffix(".log").open("wb") as said, name.with_suffix(".out").open("wb") as printed:
            process = subprocess.Popen(
                [*within, sys.executable, "-W", "ignore", "-m", *map(str, arguments)],
                cwd=tree,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
            )
        self.started.append(process)
        return process

    def serve(self, place, **options):
        """Start a web server at a place (host:port), and wait until it answers."""
        host, port = place.split(":")
        process = self.start("project.serve", "--host", host, "--port", port, **options)
        assert until(lambda: process.poll() is not None or ask(place, "GET", "/healthz")[0] == 200, 90)
        assert process.poll() is None, self.read_logs()
        return process

    def work(self, **options):
        """Start a worker."""
        return self.start("celery", "-A", "project", "worker", *LONELY, **options)

    def beat(self, **options):
        """Start a beat."""
        schedule = f"{self.folder}/beat-{len(self.started)}"
        return self.start("celery", "-A", "project", "beat", "--pidfile=", f"--schedule={schedule}", **options)

    def stop(self, process):
        """Ask a process to end, and wait until it has."""
        process.terminate()
        process.wait(60)

    def close(self):
        """End whatever still runs."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        for process in self.started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()

    def read_logs(self):
        """Return the ends of what all processes have said."""
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))


def ask(place, method, path, document=None, key="", seconds=10):
    """Send a request; return status and document of the answer, or 0 and the error where there is none."""
    headers = {"Host": "localhost", "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps(document) if document is not None else None
    client = http.client.HTTPConnection(place, timeout=seconds)
    try:
        client.request(method, path, body, headers)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return 0, repr(error)
    finally:
        client.close()


def until(happens, seconds):
    """Wait until something happens; return whether it did."""
    end = time.monotonic() + seconds
    while not (happened := happens()) and time.monotonic() < end:
        time.sleep(0.05)
    return happened


class Client(threading.Thread):
    """Posts alerts to places in turn, each alert again until it is answered with 200, as a client should."""

    def __init__(self, places, key, name, pause=0.02):
        super().__init__(daemon=True)
        self.places, self.key, self.prefix, self.pause = places, key, name, pause
        self.answered, self.statuses, self.others = [], Counter(), []
        self.stopping = threading.Event()

    def run(self):
        """Post until stopped."""
        number = 0
        while not self.stopping.is_set():
            alert = {"id": f"{self.prefix}-{number}", "name": "n", "severity": "Low"}
            while not self.post(alert):
                time.sleep(0.05)
            number += 1
            time.sleep(self.pause)

    def post(self, alert):
        """Return whether an alert was answered with 200."""
        self.places = [*self.places[1:], self.places[0]]
        status, said = ask(self.places[0], "POST", "/v1/detection_alert", alert, self.key, seconds=5)
        self.statuses[status] += 1
        if status == 200:
            self.answered.append(alert["id"])
        elif status not in (0, 503):
            self.others.append((status, said))
        return status == 200


@contextmanager
def clients(places, key, count=4):
    """Let clients post to the places meanwhile; yield them."""
    posting = [Client(places, key, f"client-{number}") for number in range(count)]
    for client in posting:
        client.start()
    try:
        yield posting
    finally:
        for client in posting:
            client.stopping.set()
        for client in posting:
            client.join(60)
