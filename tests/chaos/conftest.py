"""Real processes on the tables of the tests: lives that end at a named point, and programs of the product."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models.functions import Now

from eventsinks.models import Delivery
from tests.destinations.conftest import amazon, moto  # noqa: F401 - fixtures
from tests.front.conftest import database_url
from tests.helpers.broker import broker
from tests.helpers.receiver import Receiver

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def queue(tmp_path_factory):
    with broker(tmp_path_factory.mktemp("queue")) as opened:
        yield opened


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture(scope="session")
def environment(tmp_path_factory, queue, django_db_setup):
    """Return the environment of a real process on these tables and this broker."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("EVENTSINKS_", "TEST_"))},
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": database_url(),
        "REDIS_URL": queue.url,
        "SECRET_KEY": settings.SECRET_KEY,
        "EVENTSINKS_ENCRYPTION_KEYS": ",".join(settings.EVENTSINKS_ENCRYPTION_KEYS),
        "EVENTSINKS_VAR": str(tmp_path_factory.mktemp("var")),
        "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "EVENTSINKS_TIMEOUT": "1",
        "EVENTSINKS_LEASE": "11",
        "EVENTSINKS_RETRY_SCHEDULE": ",".join(["1"] * 20),
    }


@pytest.fixture(scope="session")
def mother(environment):
    """Return the process that forks lives."""
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.chaos.lives"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield started
    started.stdin.close()
    assert started.wait(30) == 0
    started.stdout.close()


@pytest.fixture
def live(mother):
    """Run one life to its end, by itself or `killed`; return what it said."""

    def live(*what, killed):
        mother.stdin.write(json.dumps(what) + "\n")
        mother.stdin.flush()
        said = []
        while not (line := mother.stdout.readline()).startswith("ended "):
            assert line, "the mother of lives died"
            said += line.split()
        assert int(line.split()[1]) == (-signal.SIGKILL if killed else 0)
        return said

    return live


@pytest.fixture
def start(environment):
    """Start programs that are surely gone when the test ends."""
    started = []

    def start(*arguments, changes=(), **options):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=ROOT, env={**environment, **dict(changes)}, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture
def let_leases_run_out():
    """Return what lets the leases of the dead run out now."""
    return lambda: Delivery.objects.filter(state="sending").update(due_at=Now() - timedelta(seconds=1))
