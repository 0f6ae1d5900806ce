"""`manage.py run` and `manage.py demo`, with real processes: what they start, and that nothing outlives them."""

import json
import os
import re
import secrets
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from eventsinks.lib.secrets.crypto import make_key
from tests.helpers.broker import named
from tests.helpers.databases import own_database

ROOT = Path(__file__).parents[2]
STARTUP = 60  # seconds; much less, unless the machine has other things to do
READY = "eventsinks is ready"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return settings for a directory, and on PostgreSQL a database, that only the first test finds new."""
    directory = {"EVENTSINKS_VAR": str(tmp_path_factory.mktemp("run") / "var")}
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        yield directory
        return
    with own_database(server) as url:
        yield {
            **directory,
            "DATABASE_URL": url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "EVENTSINKS_ENCRYPTION_KEYS": make_key(),
        }


@pytest.fixture(scope="module")
def announced():
    """Return the API keys that the starts at this place announced."""
    return []


class Started:
    """One `manage.py COMMAND`; its processes are known by a mark in their environment."""

    def __init__(self, command, environment):
        self.mark = f"TEST_MARK={secrets.token_hex(8)}"
        self.var = environment["EVENTSINKS_VAR"]
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", command],
            cwd=ROOT,
            env={**inherited, **environment, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""

    def read_until(self, text):
        """Read what it writes up to a line with `text`."""
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}:\n{self.output}")

    def said(self, pattern):
        """Return what `pattern` finds in what it wrote."""
        return re.search(pattern, self.output)[1]

    def ended(self):
        """Return its exit status, once it has ended."""
        self.output += self.process.communicate(timeout=STARTUP)[0]
        return self.process.returncode

    def others(self):
        """Return the processes that it started and that live, as pid and command line."""
        return {pid: line for pid, line in living(self.mark, self.var) if pid != self.process.pid}

    def pid_of(self, text):
        """Return the process whose command line has `text`: the oldest one."""
        return min(pid for pid, line in self.others().items() if text in line)

    def pids_of(self, text):
        """Return the processes whose command line has `text`, the oldest first."""
        return sorted(pid for pid, line in self.others().items() if text in line)

    def leaves_nothing(self, seconds=30):
        """Whether all its processes are gone, or go within `seconds`."""
        until = time.monotonic() + seconds
        while self.others() and time.monotonic() < until:
            time.sleep(0.1)
        return not self.others()


def living(mark, directory):
    """Yield the living processes that have `mark` in their environment, or `directory` as their own.

    The broker writes its title over its environment, but sits in its directory.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is another user's
            marked = f"{mark}\0" in (process / "environ").read_text(errors="replace")
            if marked or (process / "cwd").readlink() == Path(directory):
                yield int(process.name), (process / "cmdline").read_text().replace("\0", " ")


@pytest.fixture
def start(place):
    """Return what starts a command; nothing of it outlives the test."""
    started = []

    def start(command, **environment):
        port = {"PORT": str(20_000 + secrets.randbelow(10_000))}
        broker = {"REDIS_URL": named()} if named() else {}
        few = {"EVENTSINKS_WEB_PROCESSES": "1"}
        started.append(Started(command, {**place, **port, **broker, **few, **environment}))
        return started[-1]

    yield start
    for one in started:
        for pid in [one.process.pid, *one.others()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one.process.stdout.close()
        one.process.wait()


def test_everything_runs_until_ctrl_c_and_leaves_nothing(start, place, announced):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        run = start("run", PORT=str(port), REDIS_URL="")
        run.read_until(READY)
        run.read_until("severity")
    url, key = run.said(r"API +(http://\S+)"), run.said(r"API key +(\S+)")
    announced.append(key)
    assert urlsplit(url).port > port, "a busy port is stepped over"

    answer = pasted(run.said(r"(?s)(curl .*\}')"))
    assert "detection_alert" in answer

    kept = Path(place["EVENTSINKS_VAR"], "credentials.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    lines = " ".join(run.others().values())
    assert all(name in lines for name in ("valkey-server", "project.serve", "project worker", "project beat"))
    password = json.loads(kept.read_text())["admin_password"]
    assert password in run.output
    assert not any(secret in lines for secret in (key, password, "requirepass", "redis://"))

    run.process.send_signal(signal.SIGINT)
    assert run.ended() == 0, run.output
    assert run.output.endswith("Stopped.\n")
    assert not run.others()


def pasted(curl):
    """Do what a curl line says, as a shell and curl would read it; return the answer."""
    _, url, *options = shlex.split(curl.replace("\\\n", ""))
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
    (body,) = [value for option, value in given if option == "-d"]
    return requests.post(url, body, headers=headers, timeout=30).json()


def test_the_second_start_knows_the_first_ones_key(start, announced):
    while len(announced) < 2:  # the test above has made the first start, unless this one runs alone
        run = start("run")
        run.read_until("API key")
        announced.append(run.said(r"API key +(\S+)"))
        run.process.terminate()
        assert run.ended() == 0, run.output
    assert announced[0] == announced[1]


def test_a_killed_starter_leaves_no_orphan(start):
    run = start("run", REDIS_URL="")
    run.read_until(READY)
    assert len(run.others()) >= 5
    run.process.kill()
    assert run.leaves_nothing(), run.others()


@pytest.mark.parametrize(("child", "named"), [("project.serve", "web server"), ("project worker", "worker")])
def test_a_child_that_dies_stops_everything_and_is_named(start, child, named):
    run = start("run")
    run.read_until(READY)
    os.kill(run.pid_of(child), signal.SIGKILL)
    assert run.ended() == 1
    assert f"the {named} ended by itself (killed by SIGKILL)" in run.output
    assert not run.others()


def test_a_process_of_the_web_server_that_dies_is_started_again(start):
    run = start("run", EVENTSINKS_WEB_PROCESSES="2")
    run.read_until("API key")
    url = run.said(r"API +(http://\S+)")
    (*_, killed) = processes = run.pids_of("spawn_main")
    os.kill(killed, signal.SIGKILL)
    assert requests.get(f"{url}/readyz", timeout=30).status_code == 200
    until = time.monotonic() + STARTUP
    while (now := run.pids_of("spawn_main")) and (killed in now or len(now) < len(processes)):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert requests.get(f"{url}/readyz", timeout=30).status_code == 200
    assert run.process.poll() is None


def test_a_stop_while_it_starts_is_a_stop(start):
    run = start("run", REDIS_URL="")
    until = time.monotonic() + STARTUP
    while not run.others() and time.monotonic() < until:
        time.sleep(0.02)
    run.process.terminate()
    assert run.ended() == 0, run.output  # on a busy machine it may have just become ready
    assert run.output.rstrip().endswith("Stopped.")
    assert not run.others()


def test_settings_that_can_not_work_are_told(start):
    run = start("run", EVENTSINKS_LEASE="1")
    assert run.ended() == 1
    assert "EVENTSINKS_LEASE must be at least" in run.output
    assert not run.others()


def test_the_demo_delivers_an_alert_and_cleans_up(start, tmp_path):
    # What lasts is left alone, whatever the environment says.
    lasting = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SECRET_KEY": "x" * 50}
    demo = start("demo", **lasting, EVENTSINKS_ENCRYPTION_KEYS=make_key(), TMPDIR=str(tmp_path))
    assert demo.ended() == 0, demo.output
    for shown in ("webhook-signature", "Root login from a new country", "The signature is genuine", "Delivered"):
        assert shown in demo.output
    assert not demo.others()
    assert not list(tmp_path.glob("eventsinks-*"))


def test_the_demo_says_why_it_failed(start, tmp_path):
    demo = start("demo", EVENTSINKS_LEASE="1", TMPDIR=str(tmp_path))
    assert demo.ended() == 1
    assert "EVENTSINKS_LEASE must be at least" in demo.output
    assert not demo.others()
    assert not list(tmp_path.glob("eventsinks-*"))
