"""Deltas become counts once each: under two at once, and under kill."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Sum

from eventsinks.models import Count, CountDelta
from eventsinks.models.counting import add
from eventsinks.models.counting.roll_up import roll_up_some

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no deltas: it adds at once"),
]
TENANT = uuid.uuid4()


def write_deltas(number):
    rows = [
        CountDelta(tenant_id=TENANT, destination_id=index % 7, what="accepted", slot=600, n=1)
        for index in range(number)
    ]
    CountDelta.objects.bulk_create(rows)


def total():
    return sum(table.objects.aggregate(n=Sum("n"))["n"] or 0 for table in (Count, CountDelta))


def test_two_at_once_sum_up_each_delta_once():
    write_deltas(12_000)

    def run():
        while roll_up_some():
            pass
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    roll_up_some()
    assert (CountDelta.objects.count(), total()) == (0, 12_000)


SCRIPT = """
import sys; sys.argv = ["x"]
import psycopg
from eventsinks.models.counting.roll_up import AT_ONCE, ROLL_UP
with psycopg.connect(sys.stdin.readline().strip(), autocommit=True) as c:
    print("go", flush=True)
    while True:
        c.execute(ROLL_UP, [50])
"""


def test_a_kill_in_the_middle_loses_and_doubles_nothing():
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "dbname", "password")
    target = " ".join(f"{name}={parameters[name]}" for name in names if parameters.get(name))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    for _ in range(5):
        write_deltas(3_000)
        before = total()
        child = subprocess.Popen(
            [sys.executable, "-c", "import django; django.setup()\n" + SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=settings.BASE_DIR,
        )
        child.stdin.write(target + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "go\n"
        time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert total() == before
    while roll_up_some():
        pass
    assert total() == 15_000


def test_a_delta_that_another_transaction_holds_waits_for_the_next_time():
    add({(TENANT, 1, "accepted", 600): 5})
    add({(TENANT, 1, "accepted", 600): -2})
    assert roll_up_some() == 2
    assert Count.objects.get().n == 3
