"""Stops: what is asked to end finishes what it has begun."""

import asyncio
import random
import signal
import subprocess
import time

import pytest

from eventsinks.models import Delivery
from tests.helpers.receiver import answer

pytestmark = pytest.mark.django_db(transaction=True)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LONELY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")


def slowly(got):
    """Answer after a moment, so that there is something in flight."""

    async def wait(reader, writer):
        await asyncio.sleep(random.random() * 0.2)
        writer.write(answer())

    return wait


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@pytest.mark.guarantee("R25")
def test_a_worker_told_to_stop_finishes_what_is_in_flight(start, queue, receiver, make_webhook, make_alert):
    receiver.answers = slowly
    make_webhook(receiver.url())
    for number in range(400):
        make_alert(id=f"a-{number}")
    clock = start("-m", "celery", "-A", "project", "beat", "--loglevel", "error", "--pidfile=", **QUIET)
    running = start("-m", "celery", "-A", "project", "worker", *LONELY, **QUIET)
    until(lambda: len(receiver.got) > 5)
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    clock.kill()
    assert not Delivery.objects.filter(state="sending").exists()
    assert set(receiver.ids().values()) == {1}
    delivered = Delivery.objects.filter(state="delivered").values_list("id", flat=True)
    assert set(map(str, delivered)) == set(receiver.ids())


@pytest.mark.guarantee("R6")
def test_a_lease_that_is_not_well_above_the_timeout_starts_nothing(start):
    lease = {"EVENTSINKS_LEASE": "10"}
    process = start("manage.py", "check", changes=lease, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"eventsinks.E001" in err
