"""Nobody who holds a lock stops the sender, and what could not be written meanwhile is written afterwards."""

import contextlib
import sqlite3
import threading
import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from eventsinks import tasks
from eventsinks.actions import configure
from eventsinks.intake import audit
from eventsinks.lib.net.wire import Response
from eventsinks.models import (
    ApiKey,
    Attempt,
    Batch,
    Canary,
    Clearing,
    CountDelta,
    Delivery,
    Destination,
    Finding,
    Incident,
    NetworkTraffic,
    Position,
    ProxyAccess,
    QuietWindow,
    Replay,
    Silence,
    SlackInstall,
    SlackWorkspace,
    TrafficTerm,
)
from eventsinks.models.counting.roll_up import roll_up_some
from eventsinks.models.database import sql
from eventsinks.models.delivery import claim, find_due_lanes, free_rate_key, lease_rate_keys
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.judge import get_max_tries, make_settlement
from eventsinks.sending.settle_attempts import settle_surely
from eventsinks.streaming.streamer import stream
from eventsinks.sweeping import retain
from eventsinks.sweeping.auditing import walk
from eventsinks.sweeping.index_alerts import index_alerts
from tests.helpers import replays
from tests.helpers.crowd import at_once
from tests.helpers.visible import visible
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one lock for all rows")

# What neither the sender nor a stream nor the sweep writes. (The sweep's neighbour refreshes Slack's tokens.)
NEVER_WRITTEN = {ApiKey, Canary, Silence, NetworkTraffic, ProxyAccess, TrafficTerm, SlackInstall}
WRITTEN = [
    model
    for model in apps.get_app_config("eventsinks").get_models()
    if not model._meta.proxy and model not in NEVER_WRITTEN
]
LOCKS = {
    **{f"rows of {model.__name__}": f"SELECT 1 FROM {model._meta.db_table} FOR UPDATE" for model in WRITTEN},
    "an uncommitted delete of the sinks": "DELETE FROM eventsinks_destination WHERE name <> 'well'",
    "the table of destinations": "LOCK TABLE eventsinks_destination IN SHARE MODE",
    "the table of incidents": "LOCK TABLE eventsinks_incident IN SHARE MODE",
    "the table of windows": "LOCK TABLE eventsinks_quietwindow IN SHARE MODE",
}
PATIENCE = 5.0  # seconds for what takes a few milliseconds
LATE = timedelta(hours=1)


@contextlib.contextmanager
def held(statement):
    """Hold the lock that `statement` takes, on a connection of its own."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(statement)
        yield
    finally:
        other.rollback()
        other.close()


def until(is_true, seconds=PATIENCE):
    """Wait until something is true; return whether it became so."""
    end = time.monotonic() + seconds
    while not (found := is_true()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def answers(request):
    """Answer as the host's name says."""
    if "gone" in request.url:
        return Response(410, [], b"")
    if "busy" in request.url:
        return Response(429, [b"Retry-After: 3600"], b"")
    if "chat." in request.url:
        return Response(200, [], b'{"ok":true,"channel":"C1","ts":"1.1","message":{"text":"x"},"text":"x"}')
    return Response(500 if "down" in request.url else 200, [], b"")


@pytest.fixture
def world():
    return World(answers)


@pytest.fixture
def sweep(world, monkeypatch):
    """Return the sweep of one worker over the invented world, streams included."""
    dispatcher = Dispatcher(world)
    monkeypatch.setattr(tasks, "get_dispatcher", lambda: dispatcher)
    tasks.get_dispatcher.cache_info = lambda: type("", (), {"currsize": 0})
    monkeypatch.setattr(tasks.stream, "apply_async", lambda arguments, **_: stream(arguments[0], world))
    return tasks.sweep


@pytest.fixture
def worker(sweep):
    """Return what starts a worker that sweeps until the test is over."""
    stop = threading.Event()

    def work():
        while not stop.wait(0.1):
            sweep()
        connection.close()

    thread = threading.Thread(target=work)
    yield thread.start
    stop.set()
    if thread.ident:
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def slack(acme):
    workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Acme")
    workspace.token = "xoxb-1"
    workspace.save()
    args = {"slack_integration_id": str(workspace.id), "channel_id": "C1", "channel_name": "alerts"}
    return configure.create(acme, "slack", args, name="slack")


@pytest.fixture
def well(make_webhook, globex):
    return make_webhook("https://well.example/", tenant=globex, name="well")


@pytest.fixture
def troubles(acme, slack, well, make_webhook, make_alert, world):
    """Give Acme one of each thing that the engine has to write. Return what tells which is not written yet."""

    def sink(name, **options):
        return make_webhook(f"https://{name}.example/", name=name, options=Options.model_validate(options))

    def alert(to, id, **fields):
        make_alert(id=id, event_sink_ids=[str(to.uuid)], **fields)
        return Delivery.objects.get(destination=to, event__key=id)

    def move(delivery, **columns):
        Delivery.objects.filter(id=delivery.id).update(**columns)
        return delivery

    past = timezone.now() - LATE
    alert(slack, "told", dedup_key="i")
    integration = configure.create(acme, "generic_http", {"url": "https://down.example/"}, name="stream")
    audit.record_change(acme, audit.CREATED, "x", {})
    Dispatcher(world).run()
    visible(acme)
    assert stream(integration.id, world) == 0
    Destination.objects.filter(id=slack.id).update(paced_until=None)
    Destination.objects.filter(id=integration.id).update(config={"url": "https://up.example/"}, version=9)

    gone, busy, limited, ended = sink("gone"), sink("busy"), sink("limited", rate_limit_per_s=1), sink("ended")
    failing = sink("failing", fallback={"event_sink_id": str(ended.uuid), "after_failures": 1, "after_s": 60})
    for number in range(30):
        alert(gone, f"gone {number}")
        alert(busy, f"busy {number}")
    limited_one = alert(limited, "limited")
    slack_one = alert(slack, "told again", dedup_key="i", status="resolved")
    lost = move(alert(ended, "lost"), state="sending", lease=well.uuid, tries=get_max_tries(), due_at=past)
    replayed = move(alert(ended, "replayed"), state="failed", settled_at=past)
    job = replays.start(ended, past)
    fallen = move(alert(failing, "fallen"), state="failed", settled_at=past)
    deleted = sink("deleted")
    owed = alert(deleted, "owed")
    configure.delete(deleted)
    move(owed, state="pending", settled_at=None)  # as if it had been accepted at the same time
    skipping = sink("skipping")
    skipped = alert(skipping, "skipped")
    Destination.objects.filter(id=skipping.id).update(state="resuming")
    Clearing.objects.create(tenant=acme, destination=skipping, reason="skipped", last_event=skipped.event_id)
    Destination.objects.filter(id=failing.id).update(drill_interval_s=600, drilled_at=past)
    Destination.objects.filter(id=limited.id).update(
        sealed_old_signing_secret="old", old_signing_secret_until=past
    )
    window = QuietWindow.objects.create(
        destination=ended, kind="throttle", key="k", starts_at=past, ends_at=past, held=1, last_title="x"
    )
    Incident.objects.create(destination=ended, key="old", memory={}, updated_at=past - timedelta(days=40))

    walk.audit()
    roll_up_some()
    Finding.objects.create(kind="event", slot=0, missing=1, detail="1 event was deleted")
    CountDelta.objects.create(tenant_id=acme.id, destination_id=0, what="first:1", slot=0, n=1)
    retain._looked_at = float("-inf")
    retain.make_missing_walks()
    index_alerts()

    def state(delivery):
        return Delivery.objects.get(id=delivery.id).state

    def unwritten():
        rows = {one.name: one for one in Destination.objects.all()}
        written = {
            "parked": rows["gone"].state == "parked",
            "held": (rows["busy"].held_until or past) > timezone.now(),
            "limited": state(limited_one) == "delivered" and (rows["limited"].limited_until or past) > past,
            "paced": state(slack_one) == "delivered" and rows["slack"].paced_until is not None,
            "remembered": Incident.objects.get(key="i").memory.get("status") == "resolved",
            "forgotten": not Incident.objects.filter(key="old").exists(),
            "lost": state(lost) == "failed",
            "replayed": state(replayed) == "delivered" and Replay.objects.get(id=job.id).replayed == 1,
            "fallen back": Delivery.objects.filter(fallback_of=fallen.id, state="delivered").exists(),
            "suppressed": state(owed) == "suppressed",
            "cleared": state(skipped) == "suppressed",
            "heartbeats": rows["failing"].drilled_at > past,
            "secret": rows["limited"].sealed_old_signing_secret == "",
            "told": QuietWindow.objects.filter(id=window.id, told_at__isnull=False).exists(),
            "streamed": not Batch.objects.filter(state="open").exists()
            and Position.objects.get(destination=integration).sent_events > 0,
        }
        return [name for name, is_written in written.items() if not is_written]

    return unwritten


def is_delivered(sink, id):
    return Delivery.objects.filter(destination=sink, event__key=id, state="delivered").exists()


def test_every_table_that_is_written_has_a_row_to_lock(troubles):
    assert [model.__name__ for model in WRITTEN if not model.objects.exists()] == []


def test_without_a_lock_everything_is_written(troubles, worker):
    assert len(troubles()) == 15, troubles()
    worker()
    assert until(lambda: not troubles(), 40), troubles()


@pytest.mark.guarantee("R23")
@postgresql
@pytest.mark.parametrize("lock", LOCKS)
def test_whatever_is_locked_another_tenants_alerts_arrive_and_the_rest_is_written_later(
    lock, troubles, world, worker, well, globex, make_alert
):
    with held(LOCKS[lock]):
        worker()
        for number in range(3):
            make_alert(tenant=globex, id=f"{number}")
            assert until(lambda key=f"{number}": is_delivered(well, key)), f"not within {PATIENCE} s"
            time.sleep(0.5)
        # A sink that can't be parked or held is left alone all the same.
        assert len(world.sent("https://gone.example/")) <= 16
        assert len(world.sent("https://busy.example/")) <= 16
    assert until(lambda: not troubles(), 40), troubles()
    assert len(world.sent("https://gone.example/")) <= 16
    assert len(world.sent("https://busy.example/")) <= 16


@postgresql
def test_a_locked_delivery_is_settled_afterwards_and_delays_no_other(make_webhook, make_alert):
    make_webhook("https://one.example/")
    for number in range(40):
        make_alert(id=f"{number}")
    locked = Delivery.objects.get(event__key="7")
    release, taken = threading.Event(), threading.Event()

    def lock():
        with held(f"SELECT 1 FROM eventsinks_delivery WHERE id = '{locked.id}' FOR UPDATE"):
            taken.set()
            release.wait(30)

    holder = threading.Thread(target=lock)

    class Locking(World):
        def poll(self, wait):
            if not holder.ident and len(self.log) >= 8:  # it is in flight
                holder.start()
                taken.wait(10)
            return super().poll(wait)

    world = Locking(answers)
    dispatcher = Dispatcher(world)
    began = time.monotonic()
    dispatcher.run()
    assert time.monotonic() - began < PATIENCE
    states = Counter(Delivery.objects.values_list("state", flat=True))
    assert states in ({"delivered": 39, "sending": 1}, {"delivered": 39, "pending": 1})
    release.set()
    holder.join(10)
    if states["sending"]:
        time.sleep(1.1)
    dispatcher.run()
    assert Delivery.objects.filter(state="delivered").count() == 40
    assert len(world.sent()) == 40  # and it was not sent again


@postgresql
def test_a_lease_that_ran_out_while_its_delivery_was_locked_is_not_settled_by_who_lost_it(
    make_webhook, make_alert, caplog
):
    make_webhook()
    make_alert()
    (claimed,) = claim([(lane, 1) for lane in find_due_lanes(get_max_tries())], 60)
    settled = make_settlement(claimed, timezone.now(), Response(200, [], b""), None)
    with held("SELECT 1 FROM eventsinks_delivery FOR UPDATE"), sql.wait_shortly():
        assert settle_surely([settled]) == [settled]
    Delivery.objects.update(lease=uuid.uuid4())
    assert settle_surely([settled]) == []
    assert "not ours any more" in caplog.text
    assert Delivery.objects.get().state == "sending"
    assert Attempt.objects.count() == 1  # what it did is on record


@postgresql
def test_a_turn_is_taken_past_a_locked_sink_and_by_one_worker_alone(slack, acme):
    config = {"slack_integration_id": str(slack.slack_workspace_id), "channel_id": "C1", "channel_name": "alerts"}
    configure.create(acme, "slack", config, name="the same channel")
    with held(f"SELECT 1 FROM eventsinks_destination WHERE id = {slack.id} FOR UPDATE"):
        taken = at_once(8, lambda index: lease_rate_keys([slack.rate_key], 60))
        assert sorted(map(len, taken)) == [0] * 7 + [1]
        assert free_rate_key(slack.rate_key, 30) is False  # it is not written everywhere
        assert lease_rate_keys([slack.rate_key], 60) == set()
    assert lease_rate_keys([slack.rate_key], 60) == set()  # the one that was locked has no turn to give
    with held(f"SELECT 1 FROM eventsinks_destination WHERE place = '{slack.rate_key}' FOR UPDATE"):
        Destination.objects.filter(rate_key="").update(paced_until=None)
        assert lease_rate_keys([slack.rate_key], 60) == set()


@postgresql
def test_of_many_workers_that_ask_for_a_turn_at_once_one_has_it(slack, acme):
    config = {"slack_integration_id": str(slack.slack_workspace_id), "channel_id": "C1", "channel_name": "alerts"}
    for number in range(3):
        configure.create(acme, "slack", config, name=f"the same channel {number}")
    for _ in range(15):
        Destination.objects.update(paced_until=None)
        taken = at_once(8, lambda index: lease_rate_keys([slack.rate_key], 60))
        assert sum(map(len, taken)) == 1


@postgresql
def test_a_turn_that_nothing_could_be_claimed_for_is_given_back(slack, make_alert, world):
    make_alert()
    dispatcher = Dispatcher(world)
    with held("SELECT 1 FROM eventsinks_delivery FOR UPDATE"):
        dispatcher.run()
    assert world.log == []
    assert dispatcher.run() == 1


@postgresql
def test_a_chore_that_ran_out_of_time_leaves_the_others_a_clean_connection(
    sweep, monkeypatch, make_webhook, make_alert
):
    make_webhook()
    make_alert()
    Delivery.objects.update(tries=get_max_tries())

    def sleep():
        with transaction.atomic():
            sql.fetch_rows("SELECT set_config('statement_timeout', '100', true)")
            sql.fetch_rows("SELECT pg_sleep(30)")

    monkeypatch.setattr(tasks.rotate_secret, "end_overlaps", sleep)
    monkeypatch.setattr(tasks.tidy, "tidy_up", lambda tidied=tasks.tidy.tidy_up: (sleep_quietly(sleep), tidied()))
    sweep()
    assert Delivery.objects.get().state == "failed"
    assert not connection.in_atomic_block
    ((patience,),) = sql.fetch_rows("SHOW lock_timeout")
    assert patience == f"{settings.EVENTSINKS_DB_LOCK_TIMEOUT:g}s"


def sleep_quietly(sleep):
    with contextlib.suppress(OperationalError):
        sleep()


def test_while_one_sweep_is_at_a_chore_another_leaves_it_out_and_does_the_rest(sweep, monkeypatch):
    began, go_on, done = threading.Event(), threading.Event(), []

    def wait():
        began.set()
        go_on.wait(30)
        done.append("waited")

    monkeypatch.setattr(tasks.tidy, "tidy_up", wait)
    monkeypatch.setattr(tasks.heartbeat, "send_heartbeats", lambda: done.append("heartbeats"))
    wait.__name__, tasks.heartbeat.send_heartbeats.__name__ = "tidy_up", "send_heartbeats"
    first = threading.Thread(target=lambda: (sweep(), connection.close()))
    first.start()
    assert began.wait(10)
    sweep()
    assert done == ["heartbeats"]
    go_on.set()
    first.join(20)
    assert done == ["heartbeats", "waited", "heartbeats"]


@contextlib.contextmanager
def standstill():
    """Hold a lock that lets nobody else write deliveries: on SQLite nobody can write anything."""
    if connection.vendor == "postgresql":
        with held("LOCK TABLE eventsinks_delivery IN SHARE MODE"):
            yield
        return
    path = connection.settings_dict["NAME"]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_who_lets_nobody_write_for_seconds_delays_the_sender_and_loses_nothing(
    make_webhook, make_alert, world, worker
):
    make_webhook("https://well.example/")
    make_alert(id="before")
    with standstill():
        worker()
        time.sleep(3)
        assert world.log == []
    assert until(lambda: Delivery.objects.filter(state="delivered").exists())
    make_alert(id="after")
    assert until(lambda: Delivery.objects.filter(state="delivered").count() == 2)
    assert len(world.sent()) == 2


def test_what_ended_while_nobody_could_write_is_settled_afterwards(make_webhook, make_alert):
    make_webhook("https://well.example/")
    make_alert()
    with contextlib.ExitStack() as stack:

        class Writing(World):
            def poll(self, wait):
                if len(self.log) == 1:  # it is in flight
                    stack.enter_context(standstill())
                return super().poll(wait)

        world = Writing(answers)
        dispatcher = Dispatcher(world)
        dispatcher.run()
        assert Delivery.objects.get().state == "sending"
    time.sleep(1.1)
    dispatcher.run()
    assert Delivery.objects.get().state == "delivered"
    assert len(world.sent()) == 1
