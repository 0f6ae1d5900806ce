"""Processes that die are started again, a stop answers what is in hand, and nothing outlives the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from werkzeug import Response

from tests.front.conftest import ALERT, ROOT, head, read_answer, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture(scope="module")
def single(serve):
    """Return a server of one process."""
    return serve()


def test_a_killed_process_is_started_again_and_meanwhile_the_other_answers(serve, acme_key):
    server = serve(EVENTSINKS_WEB_PROCESSES="2")
    assert until(lambda: len(server.workers()) == 2)
    before = set(server.workers())
    answered, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answered.append(server.ask("POST /v1/detection_alert", body=ALERT, key=acme_key)[0])
            except OSError:  # its process was killed while it answered
                answered.append(0)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for one in asking:
        one.start()
    try:
        assert until(lambda: len(answered) > 20)
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)
        count = len(answered)
        assert until(lambda: answered[count + 8 :].count(200) > 20)
        assert until(lambda: len(server.workers()) == 2 and killed not in server.workers())
    finally:
        stop.set()
        for one in asking:
            one.join()
    assert server.process.poll() is None
    assert answered.count(0) <= 8


def test_the_only_process_is_started_again_and_whoever_waits_is_answered(single):
    (only,) = single.workers()
    os.kill(only, signal.SIGKILL)
    assert until(lambda: only not in single.workers())
    assert single.ask("GET /healthz", seconds=60)[0] == 200


@pytest.mark.guarantee("R25")
def test_a_stop_answers_what_is_in_hand_and_takes_nothing_more(serve, acme_key, make_webhook, httpserver):
    reached, release = threading.Event(), threading.Event()

    def slow(request):
        reached.set()
        release.wait(20)
        return Response("taken")

    httpserver.expect_request("/hook").respond_with_handler(slow)
    sink = make_webhook(httpserver.url_for("/hook"))
    server = serve(EVENTSINKS_WEB_PROCESSES="2")
    half = server.connect(head("POST /v1/detection_alert", body=ALERT, key=acme_key) + ALERT[:5])
    idle = server.connect(head("GET /healthz"))
    hanging = server.connect(head(f"POST /v1/event_sink/{sink.uuid}/test", key=acme_key))
    with half, idle, hanging:
        assert read_answer(idle)[0] == 200
        assert reached.wait(20)
        server.process.terminate()
        assert idle.recv(100) == b"", "who rests is let go"
        half.sendall(ALERT[5:])
        status, headers, _ = read_answer(half)
        assert (status, headers["connection"]) == (200, "close")
        release.set()
        assert read_answer(hanging)[0] == 200
    assert server.process.wait(20) == 0
    with pytest.raises(OSError, match="refused"):
        server.connect()
    assert not server.workers()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_server(serve, number):
    server = serve(EVENTSINKS_WEB_PROCESSES="2")
    assert until(lambda: len(server.workers()) == 2)
    workers = server.workers()
    os.kill(server.process.pid, number)
    server.process.wait(20)
    assert until(lambda: not any(lives(pid) for pid in workers))


def lives(pid):
    """Whether a process is there, and is no zombie."""
    try:
        return (ROOT / f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_port_that_is_taken_is_told_unless_it_is_shared(single):
    command = [sys.executable, "-W", "ignore", "-m", "project.serve", "--port", str(single.port)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


def test_settings_that_can_not_work_end_it():
    command = [sys.executable, "-W", "ignore", "-m", "project.serve", "--port", "0"]
    for wrong in ({"EVENTSINKS_TRUSTED_PROXIES": "nonsense"}, {"EVENTSINKS_WEB_THREADS": "many"}):
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", "EVENTSINKS_WEB_PROCESSES": "1"}
        environment |= wrong
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
