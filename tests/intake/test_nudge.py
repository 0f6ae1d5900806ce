"""Nudges, over a real broker: few are sent, and losing any of them, or the broker, changes nothing but latency."""

import socket
import threading
import time
from types import SimpleNamespace

import kombu.pools
import pytest
import redis
from celery import current_app
from django.db import connection, transaction

from eventsinks import tasks
from eventsinks.actions import configure
from eventsinks.event_types import event_type
from eventsinks.intake import nudge
from eventsinks.intake.accept import accept
from eventsinks.models import Delivery, Event
from eventsinks.resident import Resident
from eventsinks.sending import dispatcher
from tests.helpers.broker import Broker, named
from tests.helpers.crowd import at_once
from tests.helpers.receiver import Receiver, answer, hang

pytestmark = pytest.mark.django_db(transaction=True)
AUDIT = b'{"activity_code": "user.login"}'


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory):
    opened = Broker(tmp_path_factory.mktemp("broker"))
    yield opened
    opened.stop()


@pytest.fixture
def use_broker(settings, monkeypatch):
    """Point everything that nudges at a broker's URL."""
    before = current_app.conf.broker_url

    def use(url):
        settings.REDIS_URL = url
        monkeypatch.setattr(nudge, "_quiet_until", 0.0)
        point(url)

    def point(url):
        nudge.get_client().close()
        nudge.get_client.cache_clear()
        kombu.pools.reset()
        current_app.conf.broker_url = current_app.conf.broker_write_url = url
        current_app._pool = current_app.amqp._producer_pool = None

    yield use
    point(before)


@pytest.fixture
def broker(own_broker, use_broker):
    """Return a client of a broker that is up and empty."""
    if not named() and own_broker.process is None:
        own_broker.start()
    url = named() or own_broker.url
    use_broker(url)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield client


def events():
    """Return the alerts. (A change of a sink is an event too: of the audit log.)"""
    return Event.objects.filter(type="detection_alert")


def queued(client, work=nudge.DELIVERIES):
    return client.llen(nudge.KEY + work)


def hear(client):
    return nudge.wait_for_nudge(client, [nudge.DELIVERIES, nudge.STREAMS], 0.01)


@pytest.mark.guarantee("R10")
def test_a_worker_hears_of_many_nudges_once(broker):
    at_once(30, lambda index: nudge.nudge())
    assert (hear(broker), hear(broker)) == (nudge.DELIVERIES, None)


def test_without_a_worker_only_so_many_nudges_are_kept(broker):
    for _ in range(3 * nudge.MOST):
        nudge.nudge()
    assert 1 <= queued(broker) <= nudge.MOST


def test_one_of_many_workers_hears_a_nudge(broker, settings):
    heard = []

    def listen(index):
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            heard.append(nudge.wait_for_nudge(client, [nudge.DELIVERIES], 1.0))

    threads = [threading.Thread(target=listen, args=[index]) for index in range(3)]
    for thread in threads:
        thread.start()
    assert until(lambda: broker.info("clients")["blocked_clients"] == 3)
    nudge.nudge()
    for thread in threads:
        thread.join(10)
    assert sorted(heard, key=str) == [None, None, nudge.DELIVERIES]


def test_a_nudge_waits_for_the_commit_and_dies_with_a_rollback(broker):
    with transaction.atomic():
        nudge.nudge()
        assert queued(broker) == 0
        transaction.set_rollback(True)
    assert queued(broker) == 0
    with transaction.atomic():
        nudge.nudge()
    assert queued(broker) == 1


def test_accepting_nudges_only_where_something_is_owed(broker, make_alert, make_webhook):
    make_alert()
    assert queued(broker) == 0
    make_webhook()
    make_alert(id="a")
    assert queued(broker) == 1
    make_alert(id="a")  # a duplicate
    assert queued(broker) == 1


def test_accepting_nudges_the_streams_where_an_integration_hears_of_it(broker, acme, make_alert):
    accept(acme, event_type("audit"), [AUDIT])
    assert queued(broker, nudge.STREAMS) == 0
    configure.create(acme, "generic_http", {"url": "https://example.com/"}, name="i")
    broker.flushdb()
    make_alert()
    assert queued(broker, nudge.STREAMS) == 0
    accept(acme, event_type("audit"), [AUDIT])
    assert (queued(broker, nudge.STREAMS), queued(broker)) == (1, 0)


@pytest.mark.guarantee("R4")
def test_emptying_the_broker_does_no_harm(broker):
    nudge.nudge()
    broker.flushdb()
    nudge.nudge()
    assert queued(broker) == 1


class Rung:
    """A job of a worker, which takes as long as it is told to."""

    def __init__(self):
        self.done, self.woken = 0, 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.fails = False

    def work(self):
        self.done += 1
        self.may_end.wait(10)
        if self.fails:
            raise RuntimeError("broken")

    def wake(self):
        self.woken += 1


@pytest.fixture
def resident(broker):
    """Return a job, and the resident threads that do it; they are stopped at the end."""
    job = Rung()
    made = Resident({nudge.DELIVERIES: job.work}, job.wake)
    made.start()
    yield job, made
    job.may_end.set()
    made.stop(10)


def test_a_resting_worker_works_at_once_and_rests_again(resident):
    job, _ = resident
    for number in range(1, 4):
        nudge.nudge()
        assert until(lambda number=number: job.done == number)
    time.sleep(0.05)
    assert job.done == 3


def test_who_is_at_work_is_woken_and_looks_once_more_after_it(resident):
    job, _ = resident
    job.may_end.clear()
    nudge.nudge()
    assert until(lambda: job.done == 1)
    nudge.nudge()
    assert until(lambda: job.woken)
    job.may_end.set()
    assert until(lambda: job.done == 2)


def test_work_that_fails_is_tried_again_at_the_next_nudge(resident):
    job, _ = resident
    job.fails = True
    nudge.nudge()
    assert until(lambda: job.done == 1)
    nudge.nudge()
    assert until(lambda: job.done == 2)


def test_a_stopped_worker_ends_what_it_does_and_begins_no_more(resident):
    job, made = resident
    job.may_end.clear()
    nudge.nudge()
    assert until(lambda: job.done == 1)
    stopping = threading.Thread(target=made.stop, args=[10])
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    job.may_end.set()
    stopping.join(10)
    nudge.nudge()
    time.sleep(0.05)
    assert (stopping.is_alive(), job.done) == (False, 1)


@pytest.mark.guarantee("R4")
def test_a_worker_hears_nudges_again_once_the_broker_is_back(own_broker, use_broker, monkeypatch):
    own_broker.stop()
    own_broker.start()
    use_broker(own_broker.url)
    monkeypatch.setattr("eventsinks.resident.TRY_AGAIN", 0.1)
    job = Rung()
    made = Resident({nudge.DELIVERIES: job.work}, job.wake)
    made.start()
    try:
        own_broker.stop()
        own_broker.start()

        def heard():
            monkeypatch.setattr(nudge, "_quiet_until", 0.0)
            nudge.nudge()
            return job.done

        assert until(heard)
    finally:
        made.stop(10)


@pytest.mark.guarantee("R2", "R10")
def test_the_sweep_delivers_whatever_became_of_the_nudge(broker, make_alert, make_webhook):
    with Receiver() as receiver:
        make_webhook(receiver.url())
        make_alert()
        broker.flushdb()
        assert tasks.sweep() == 1
        assert len(receiver.got) == 1
    tasks.get_dispatcher.cache_clear()


def test_while_one_thread_delivers_another_returns_at_once(broker, make_alert, make_webhook):
    with Receiver() as receiver:
        make_webhook(receiver.url())
        make_alert()
        with tasks._pumping:
            assert tasks.deliver() == 0
        assert receiver.got == []
        assert tasks.deliver() == 1
    tasks.get_dispatcher.cache_clear()


@pytest.mark.guarantee("R2")
def test_without_a_broker_events_are_taken_and_nothing_is_raised(own_broker, use_broker, make_alert, make_webhook):
    own_broker.stop()
    use_broker(own_broker.url)
    make_webhook()
    assert make_alert(id="a").deliveries == 1
    assert make_alert(id="b").deliveries == 1
    assert (events().count(), Delivery.objects.count()) == (2, 2)


@pytest.mark.guarantee("R4")
def test_a_broker_that_comes_back_is_used_again(own_broker, use_broker, monkeypatch):
    own_broker.stop()
    use_broker(own_broker.url)
    nudge.nudge()
    own_broker.start()
    with redis.Redis.from_url(own_broker.url) as client:
        nudge.nudge()
        assert queued(client) == 0  # it is left alone for a while
        assert nudge._quiet_until - time.monotonic() <= nudge.QUIET_SECONDS
        monkeypatch.setattr(nudge, "_quiet_until", 0.0)
        nudge.nudge()
        assert queued(client) == 1


def test_a_broker_that_restarts_between_two_nudges_raises_nothing(own_broker, use_broker, monkeypatch):
    own_broker.stop()
    own_broker.start()
    use_broker(own_broker.url)
    nudge.nudge()
    own_broker.stop()
    own_broker.start()
    for _ in range(3):
        monkeypatch.setattr(nudge, "_quiet_until", 0.0)
        nudge.nudge()
    with redis.Redis.from_url(own_broker.url) as client:
        assert queued(client) >= 1


def test_a_broker_that_says_nothing_is_asked_once_and_then_left_alone(use_broker, make_alert, make_webhook):
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def listen():
            try:
                while True:
                    asked.append(silent.accept()[0])
            except OSError:
                pass

        thread = threading.Thread(target=listen)
        thread.start()
        use_broker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        make_webhook()
        for number in range(5):
            assert make_alert(id=f"a-{number}").deliveries == 1
        silent.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert len(asked) == 1
    for opened in asked:
        opened.close()


def test_a_nudge_wakes_a_running_sender_that_waits_for_something_that_hangs(
    broker, make_alert, make_webhook, monkeypatch
):
    monkeypatch.setattr(dispatcher, "LOOK_AGAIN", 60.0)  # it would not look by itself
    monkeypatch.setattr(dispatcher, "LONGEST_WAIT", 60.0)
    with Receiver() as receiver:
        receiver.answers = lambda got: hang(receiver) if got.path == "/hangs" else answer()
        hanging, well = make_webhook(receiver.url("/hangs")), make_webhook(receiver.url("/well"))
        make_alert(id="hangs", event_sink_ids=[str(hanging.uuid)])
        running = threading.Thread(target=run_and_close, args=[tasks.deliver])
        running.start()
        assert until(lambda: receiver.hanging)
        for number in range(5):
            make_alert(id=f"{number}", event_sink_ids=[str(well.uuid)])
            assert tasks.deliver() == 0
            assert until(lambda number=number: len(receiver.ids("/well")) == number + 1)
        receiver.release()
        running.join(20)
    tasks.get_dispatcher.cache_clear()


def test_a_nudge_that_finds_the_sender_about_to_end_is_not_lost(broker, make_alert, make_webhook, monkeypatch):
    with Receiver() as receiver:
        make_webhook(receiver.url())
        dispatcher, told = tasks.get_dispatcher(), []

        class Ending:
            def run(self):
                settled = dispatcher.run()
                if not told:  # it has just found nothing, and its lock is still held
                    told.append(True)
                    make_alert()
                    other = threading.Thread(target=run_and_close, args=[tasks.deliver])
                    other.start()
                    other.join(20)
                return settled

            def wake(self):
                dispatcher.wake()

        ending = Ending()
        monkeypatch.setattr(tasks, "get_dispatcher", lambda: ending)
        tasks.get_dispatcher.cache_info = lambda: SimpleNamespace(currsize=1)
        assert tasks.deliver() == 1
        assert len(receiver.got) == 1
    monkeypatch.undo()
    tasks.get_dispatcher.cache_clear()


def run_and_close(task):
    try:
        task()
    finally:
        connection.close()


def until(is_true, seconds=10):
    end = time.monotonic() + seconds
    while not (found := is_true()) and time.monotonic() < end:
        time.sleep(0.01)
    return found
