"""How long a session waits: web and worker are bounded, a command is not, and the URL has the last word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = """
import sys
sys.argv[0] = sys.argv[1]
from project.settings import DATABASES
print(DATABASES["default"]["OPTIONS"]["options"])
"""


def options(program, url="postgres://eventsinks@db.example/eventsinks", **environment):
    """Return the options of the sessions of a program, as settings.py makes them."""
    environment = {
        "PATH": os.environ["PATH"],
        "EVENTSINKS_VAR": os.environ.get("EVENTSINKS_VAR", "/tmp"),
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url,
        "SECRET_KEY": "s" * 50,
        "EVENTSINKS_ENCRYPTION_KEYS": "k",
        **environment,
    }
    command = [sys.executable, "-c", SHOW, program]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize("program", ["celery", "/srv/eventsinks/project/serve.py", "-m"])
def test_web_and_worker_wait_no_longer_than_the_settings_say(program):
    found = options(program, EVENTSINKS_DB_LOCK_TIMEOUT="0.5")
    for option in ("lock_timeout=500", "statement_timeout=30000", "idle_in_transaction_session_timeout=60000"):
        assert option in found


@pytest.mark.parametrize("program", ["manage.py", "/srv/eventsinks/manage.py"])
def test_what_a_person_runs_takes_as_long_as_it_takes(program):
    assert not any("timeout" in option for option in options(program))
    assert "jit=off" in options(program)


def test_the_options_of_the_url_replace_ours():
    url = "postgres://eventsinks@db.example/eventsinks?options=-c%20work_mem%3D8MB"
    assert options("celery", url) == ["-c", "work_mem=8MB"]
