"""Kills: whatever process is killed, and when, all that was accepted arrives, and little of it twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from eventsinks.models import Attempt, Delivery, Destination, Event
from eventsinks.sending.breaker import PROBES
from tests.helpers.broker import broker
from tests.helpers.receiver import Receiver, answer

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue(tmp_path):
    with broker(tmp_path) as opened:
        yield opened


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def environment(tmp_path, queue):
    """Return the environment of a real process on this test's database and broker."""
    name, where = connection.settings_dict["NAME"], connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = f"postgres://{where['USER']}:{where['PASSWORD']}@{where['HOST']}:{where['PORT'] or 5432}/{name}"
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("EVENTSINKS_", "TEST_"))},
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": url.replace(":@", "@"),
        "REDIS_URL": queue.url,
        "SECRET_KEY": settings.SECRET_KEY,
        "EVENTSINKS_ENCRYPTION_KEYS": ",".join(settings.EVENTSINKS_ENCRYPTION_KEYS),
        "EVENTSINKS_VAR": str(tmp_path),
        "EVENTSINKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "EVENTSINKS_TIMEOUT": "1",
        "EVENTSINKS_LEASE": "11",
        "EVENTSINKS_RETRY_SCHEDULE": ",".join(["1"] * 20),
    }


@pytest.fixture
def start(environment):
    """Start processes that are surely gone when the test ends."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture
def drive(start):
    """Run the driver to its end; return what it printed."""

    def drive(*arguments, killed):
        process = start("-m", "tests.chaos.driver", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=120)
        expected = -signal.SIGKILL if killed else 0
        assert process.returncode == expected, err.decode()
        return out.decode().split()

    return drive


def events():
    """Return the alerts. (A change of a sink is an event too: of the audit log.)"""
    return Event.objects.filter(type="detection_alert")


def empty(queue):
    with redis.Redis.from_url(queue.url) as client:
        client.flushall()


def let_leases_run_out():
    Delivery.objects.filter(state="sending").update(due_at=Now() - timedelta(seconds=1))


def held():
    return Delivery.objects.filter(state="sending").count()


def accounted(receiver, accepted):
    """Assert that each accepted event arrived, under the id of its one delivery; return how many came twice."""
    assert set(events().values_list("key", flat=True)) >= set(accepted)
    deliveries = {str(id): key for id, key in Delivery.objects.values_list("id", "event__key")}
    assert sorted(deliveries.values()) == sorted(events().values_list("key", flat=True))
    came = receiver.ids()
    assert set(came) == set(deliveries)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    return sum(came.values()) - len(came)


@pytest.mark.guarantee("R3")
@pytest.mark.parametrize("point", ["after claim", "while sending", "after send", "during settle", "after settle"])
def test_a_worker_killed_at_any_point_loses_nothing(point, drive, queue, receiver, make_webhook, make_alert):
    make_webhook(receiver.url())
    accepted, at_risk = [], 0
    for round_ in range(2):
        accepted += [key for number in range(40) for key in make_alert(id=f"{round_}-{number}").keys]
        drive("deliver", point, killed=True)
        in_flight = held()
        assert in_flight or point == "after settle"
        at_risk += in_flight
        empty(queue)
        let_leases_run_out()
    drive("deliver", "nowhere", killed=False)
    doubled = accounted(receiver, accepted)
    assert doubled <= at_risk
    if point == "after claim":
        assert doubled == 0
    if point in ("after send", "during settle"):
        assert doubled > 0  # at least once is not exactly once


def test_a_worker_killed_during_settling_leaves_neither_half(drive, receiver, make_webhook, make_alert):
    make_webhook(receiver.url())
    make_alert()
    drive("deliver", "during settle", killed=True)
    assert len(receiver.got) == 1
    assert (held(), Attempt.objects.count()) == (1, 0)


@pytest.mark.guarantee("R3")
def test_an_accepting_process_killed_between_commit_and_nudge_has_lost_nothing(
    drive, queue, receiver, make_webhook
):
    make_webhook(receiver.url())
    told = drive("accept", "after commit", 10, "a", killed=True)
    assert len(told) == 9  # the tenth was committed, and its sender never heard of it
    assert events().count() == 10
    told += drive("accept", "nowhere", 10, "a", killed=False)  # so it sends them all again
    empty(queue)
    drive("deliver", "nowhere", killed=False)
    assert accounted(receiver, told) == 0
    assert events().count() == 10


@pytest.mark.guarantee("R3")
def test_an_accepting_process_killed_before_its_commit_has_accepted_nothing(drive, receiver, make_webhook):
    make_webhook(receiver.url())
    told = drive("accept", "before commit", 10, "a", killed=True)
    assert len(told) == events().count() == Delivery.objects.count() == 9
    drive("deliver", "nowhere", killed=False)
    assert accounted(receiver, told) == 0


@pytest.mark.parametrize("point", ["after claim", "after send", "during settle", "after settle"])
def test_a_worker_killed_with_the_probes_of_a_breaker_leaves_nothing_stuck(
    drive, receiver, make_webhook, make_alert, point
):
    make_webhook(receiver.url())
    for _ in range(20):
        make_alert()
    Destination.objects.update(breaker="open", trouble=2, held_until=Now() - timedelta(seconds=1))
    drive("deliver", point, killed=True)
    sink = Destination.objects.get()
    assert (sink.breaker, sink.probes) == ("half_open", 0)
    Destination.objects.update(breaker_at=Now() + timedelta(hours=1))  # a start may take longer than a lease
    drive("deliver", "nowhere", killed=False)
    assert len(receiver.got) <= PROBES["event_sink"]
    let_leases_run_out()
    Destination.objects.update(breaker_at=Now() - timedelta(seconds=1))
    drive("deliver", "nowhere", killed=False)
    assert Destination.objects.get().breaker == "ramp"
    Destination.objects.update(breaker_at=Now() - timedelta(hours=1), limited_until=None)
    drive("deliver", "nowhere", killed=False)
    assert not Delivery.objects.exclude(state="delivered").exists()
    assert max(receiver.ids().values()) <= 2


@pytest.mark.guarantee("R7")
def test_an_event_whose_workers_are_always_killed_fails_in_the_end(drive, receiver, make_webhook, make_alert):
    make_webhook(receiver.url())
    make_alert()
    Delivery.objects.update(tries=19)
    for _ in range(2):
        drive("deliver", "after claim", killed=True)
        let_leases_run_out()
    drive("deliver", "nowhere", killed=False)
    failed = Delivery.objects.get()
    assert (failed.state, failed.tries) == ("failed", 21)
    assert receiver.got == []


# --- A whole real worker and its beat -------------------------------------------------------------

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LONELY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")


def worker(start):
    return start("-m", "celery", "-A", "project", "worker", *LONELY, **QUIET)


def beat(start):
    return start("-m", "celery", "-A", "project", "beat", "--loglevel", "error", "--pidfile=", **QUIET)


def slowly(got):
    """Answer after a moment, so that there is something in flight to be killed."""

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


@pytest.mark.guarantee("R3", "R4")
def test_a_worker_and_its_beat_killed_again_and_again_lose_nothing(
    start, drive, queue, receiver, make_webhook, make_alert
):
    receiver.answers = slowly
    for path in ("/a", "/b"):
        make_webhook(receiver.url(path))
    accepted, at_risk = [], 0
    clock = beat(start)
    for round_ in range(5):
        running = worker(start)
        accepted += [key for number in range(150) for key in make_alert(id=f"{round_}-{number}").keys]
        before = len(receiver.got)
        until(lambda before=before: len(receiver.got) > before)
        time.sleep(random.random() * 0.3)
        running.kill()
        running.wait(10)
        at_risk += held()
        if round_ % 2:
            clock.kill()
            clock.wait(10)
            empty(queue)
            clock = beat(start)
        let_leases_run_out()
    worker(start)
    until(lambda: not Delivery.objects.exclude(state="delivered").exists())
    came = receiver.ids()
    assert set(came) == set(map(str, Delivery.objects.values_list("id", flat=True)))
    assert len(came) == 2 * len(accepted) == 1500
    assert sum(came.values()) - len(came) <= at_risk
    for path in ("/a", "/b"):
        assert len(receiver.ids(path)) == 750


@pytest.mark.guarantee("R22")
def test_workers_killed_again_and_again_tell_each_incident_in_order(
    start, queue, receiver, make_webhook, make_alert
):
    moods = random.Random(1)

    def moody(got):
        return slowly(got) if moods.random() < 0.8 else answer(503)

    receiver.answers = moody
    make_webhook(receiver.url())
    clock = beat(start)
    for round_ in range(4):
        running = [worker(start), worker(start)]
        for number in range(round_ * 30, round_ * 30 + 30):
            make_alert(name=f"{number}", dedup_key=f"incident {number % 3}")
        before = len(receiver.got)
        until(lambda before=before: len(receiver.got) > before + 5)
        for process in running:
            process.kill()
            process.wait(10)
        empty(queue)
        let_leases_run_out()
    worker(start)
    until(lambda: not Delivery.objects.exclude(state="delivered").exists())
    clock.kill()
    told = [json.loads(got.body) for got in receiver.got]
    for key in range(3):
        numbers = [int(alert["name"]) for alert in told if alert["dedup_key"] == f"incident {key}"]
        assert numbers == sorted(numbers)
        assert sorted(set(numbers)) == list(range(key, 120, 3))


@pytest.mark.guarantee("R25")
def test_a_worker_told_to_stop_finishes_what_is_in_flight(start, queue, receiver, make_webhook, make_alert):
    receiver.answers = slowly
    make_webhook(receiver.url())
    for number in range(400):
        make_alert(id=f"a-{number}")
    clock, running = beat(start), worker(start)
    until(lambda: len(receiver.got) > 5)
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    clock.kill()
    assert held() == 0
    assert set(receiver.ids().values()) == {1}
    delivered = Delivery.objects.filter(state="delivered").values_list("id", flat=True)
    assert set(map(str, delivered)) == set(receiver.ids())


@pytest.mark.guarantee("R6")
def test_a_lease_that_is_not_well_above_the_timeout_starts_nothing(start, environment):
    environment["EVENTSINKS_LEASE"] = "10"
    process = start("manage.py", "check", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"eventsinks.E001" in err
