"""Kills at the door: what was answered with 2xx is in the log once, whatever was killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from django.db import connection

from eventsinks.models import Delivery, Event
from tests.front.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)
KILLS = int(os.environ.get("EVENTSINKS_TEST_KILLS", "8"))
LOADERS = 12


class Loader(threading.Thread):
    """Posts alerts one after another, each again until it is answered with 200, as a client should."""

    def __init__(self, server, key, name):
        super().__init__(daemon=True)
        self.server, self.key, self.prefix = server, key, name
        self.sent, self.answered, self.statuses = 0, [], Counter()
        self.stopping = threading.Event()

    def run(self):
        """Post until stopped."""
        while not self.stopping.is_set():
            id = f"{self.prefix}-{self.sent}"
            self.sent += 1
            while not self.post(id):
                time.sleep(0.02)

    def post(self, id):
        """Return whether an alert was answered with 200."""
        body = json.dumps({"id": id, "name": "n", "severity": "Low"}).encode()
        with suppress(OSError):
            status, _, said = self.server.ask("POST /v1/detection_alert", body=body, key=self.key)
            self.statuses[status] += 1
            if status == 200:
                self.answered.append((id, json.loads(said)["detection_alert"]["duplicate"]))
                return True
        return False


def load(server, key, harm):
    """Let loaders post while `harm` is done some times. Return the loaders."""
    loaders = [Loader(server, key, f"loader-{number}") for number in range(LOADERS)]
    for loader in loaders:
        loader.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.3, 1.0))
        harm()
    time.sleep(1)
    for loader in loaders:
        loader.stopping.set()
    for loader in loaders:
        loader.join(60)
    return loaders


def check(loaders, sinks):
    """Every id that was answered is in the log once, with a delivery for each sink."""
    answered = [id for loader in loaders for id, _ in loader.answered]
    assert len(answered) == sum(loader.sent for loader in loaders) > LOADERS
    keys = Counter(Event.objects.filter(type="detection_alert").values_list("key", flat=True))
    assert set(answered) <= set(keys)
    assert set(keys.values()) == {1}
    assert Delivery.objects.count() == sinks * len(keys)
    assert {status for loader in loaders for status in loader.statuses} <= {200, 503}


@pytest.fixture
def server(transactional_db):
    made = Server(EVENTSINKS_WEB_PROCESSES="2")
    yield made
    made.stop()


@pytest.mark.guarantee("R2", "R3")
def test_a_killed_web_process_loses_nothing_that_it_has_answered(server, acme_key, make_webhook):
    make_webhook(), make_webhook()

    def kill():
        if workers := server.workers():
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)

    loaders = load(server, acme_key, kill)
    check(loaders, sinks=2)


@pytest.mark.guarantee("R5")
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to lose")
def test_killed_connections_of_the_database_lose_nothing(server, acme_key, make_webhook):
    make_webhook()

    def kill():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    loaders = load(server, acme_key, kill)
    check(loaders, sinks=1)


@pytest.mark.guarantee("R25")
def test_a_server_that_is_asked_to_end_answers_what_it_has_taken(server, acme_key, make_webhook):
    make_webhook()
    loaders = [Loader(server, acme_key, f"loader-{number}") for number in range(LOADERS)]
    for loader in loaders:
        loader.start()
    time.sleep(1.5)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    for loader in loaders:
        loader.stopping.set()
    answered = {id for loader in loaders for id, _ in loader.answered}
    keys = set(Event.objects.filter(type="detection_alert").values_list("key", flat=True))
    assert answered <= keys
    assert len(answered) > LOADERS
    assert keys - answered == set()  # nothing was committed without an answer
