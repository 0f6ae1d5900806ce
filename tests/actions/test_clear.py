"""Clearing: a large backlog that is not wanted is suppressed by the sweep, in batches, and none of it is sent."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from eventsinks import tasks
from eventsinks.actions import clear, configure
from eventsinks.actions.explain import explain_delivery
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay import replay
from eventsinks.limits import round_robin as turns
from eventsinks.limits.round_robin import do_in_turns
from eventsinks.models import Clearing, Delivery, Destination, Event, Incident, QuietWindow, incident, quiet_window
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.delivery import find_due_lanes, lost, make_least_id
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sweeping import digest, fall_back
from eventsinks.sweeping import tidy as tidying
from eventsinks.sweeping.account import count_open
from eventsinks.sweeping.tidy import tidy_up
from tests.helpers import replays
from tests.helpers.counts import audit_account
from tests.helpers.crowd import at_once
from tests.helpers.worlds import World

SKIPPED, DELETED = "skipped when the event sink was resumed", "the event sink was deleted"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Let ten deliveries be many, and a batch three of five that are looked at; a sweep has the time it needs."""
    monkeypatch.setattr(turns, "SECONDS", 60.0)
    monkeypatch.setattr(clear, "AT_ONCE", 3)
    monkeypatch.setattr(clear, "LOOKED_AT", 5)


@pytest.fixture
def backlog(make_webhook, make_alert):
    """Return a paused sink with ten pending deliveries, each of an alert that names it."""

    def make(number=10, tenant=None, **options):
        sink = make_webhook(tenant=tenant, **options)
        configure.pause(sink)
        for _ in range(number):
            make_alert(tenant=tenant, event_sink_ids=[str(sink.uuid)])
        return sink

    return make


def hours(number):
    return timedelta(hours=number)


def states(sink):
    found = {}
    for state in Delivery.objects.filter(destination=sink).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def state_of(sink):
    return Destination.objects.values_list("state", flat=True).get(id=sink.id)


def step_all():
    """Do one step of every clearing."""
    return [clear.clear_step(id) for id in Clearing.objects.running().values_list("id", flat=True)]


def sent():
    """Let a worker deliver what is due; return what it sent."""
    world = World()
    Dispatcher(world).run()
    return world.sent()


def to(sink):
    return {"event_sink_ids": [str(sink.uuid)]}


# --- What the request does, and what it leaves ----------------------------------------------------


def test_a_small_backlog_is_skipped_at_once_and_the_sink_is_active(backlog):
    sink = backlog(3)
    assert configure.resume(sink, skip=True).state == "active"
    assert states(sink) == {"suppressed": 3}
    assert not Clearing.objects.exists()


def test_a_large_backlog_is_left_to_the_sweep_and_nothing_of_it_is_sent(backlog):
    sink = backlog()
    assert configure.resume(sink, skip=True).state == "resuming"
    assert states(sink) == {"pending": 10}
    assert (find_due_lanes(10), sent()) == ([], [])
    step_all()
    assert (states(sink), state_of(sink)) == ({"suppressed": 3, "pending": 7}, "resuming")
    assert sent() == []
    assert clear.work_off_clearings() == 7
    assert (states(sink), state_of(sink)) == ({"suppressed": 10}, "active")
    assert set(Delivery.objects.values_list("reason", flat=True)) == {SKIPPED}
    assert clear.work_off_clearings() == 0


def test_the_sweep_works_it_off(backlog):
    sink = backlog()
    configure.resume(sink, skip=True)
    tasks.sweep()
    assert (states(sink), state_of(sink)) == ({"suppressed": 10}, "active")


def test_what_comes_in_after_a_skip_keeps_its_fate(backlog, make_alert, make_webhook):
    sink = backlog()
    old = Delivery.objects.first()
    Delivery.objects.filter(id=old.id).update(state="failed", tries=10, settled_at=Now())
    early = make_webhook(
        options=Options.model_validate({"fallback": {"event_sink_id": str(sink.uuid), "after_s": 1}})
    )
    configure.pause(early)
    make_alert(id="early", **to(early))
    time.sleep(0.02)
    configure.resume(sink, skip=True)
    step_all()
    make_alert(id="new", **to(sink))
    assert replay(Delivery.objects.filter(id=old.id)) == 1  # by hand
    Delivery.objects.filter(destination=early).update(state="failed", settled_at=Now())
    assert fall_back.fall_back_everywhere() == 1  # of an alert that is older than the skip
    clear.work_off_clearings()
    kept = {row.event.key for row in Delivery.objects.filter(destination=sink, state="pending")}
    assert kept == {"new", "early", old.event.key}
    assert states(sink) == {"suppressed": 9, "pending": 3}
    assert len(sent()) == 3


def test_resumed_since_a_moment_what_is_younger_is_sent(backlog):
    sink = backlog()
    ids = list(Delivery.objects.order_by("id").values_list("id", flat=True))
    hour_ago = make_least_id(read_database_clock() - hours(1)).int
    for number, id in enumerate(ids[:6]):
        Delivery.objects.filter(id=id).update(id=type(id)(int=hour_ago + number))
    resumed = configure.resume(sink, since=read_database_clock() - hours(0.5))
    assert resumed.state == "resuming"
    clear.work_off_clearings()
    assert (states(sink), state_of(sink)) == ({"suppressed": 6, "pending": 4}, "active")


def test_what_waits_for_a_later_try_is_skipped_too(backlog):
    sink = backlog()
    Delivery.objects.update(tries=2, due_at=Now() + hours(5))
    configure.resume(sink, skip=True)
    clear.work_off_clearings()
    assert states(sink) == {"suppressed": 10}


def test_an_active_sink_is_resumed_without_its_backlog_too(backlog):
    sink = backlog()
    assert configure.resume(sink).state == "active"
    assert configure.resume(sink, skip=True).state == "resuming"
    clear.work_off_clearings()
    assert (states(sink), state_of(sink)) == ({"suppressed": 10}, "active")


def test_paused_while_it_is_resuming_it_stays_paused_and_what_was_skipped_stays_skipped(backlog, make_alert):
    sink = backlog()
    configure.resume(sink, skip=True)
    configure.pause(sink)
    make_alert(**to(sink))
    step_all()
    assert configure.resume(sink).state == "resuming"  # with what came in since, and not before the rest is gone
    configure.pause(sink)
    clear.work_off_clearings()
    assert (states(sink), state_of(sink)) == ({"suppressed": 10, "pending": 1}, "paused")
    assert configure.resume(sink).state == "active"


@pytest.mark.parametrize("how", ["enabled", "config"])
def test_a_change_that_sends_again_waits_for_what_is_skipped(backlog, how):
    sink = backlog()
    configure.resume(sink, skip=True)
    if how == "enabled":
        configure.pause(sink)
        changed = configure.change(sink, enabled=True)
    else:
        Destination.objects.update(state="parked")
        changed = configure.change(sink, {"url": "https://example.com/other"})
    assert changed.state == "resuming"
    clear.work_off_clearings()
    assert (states(sink), state_of(sink)) == ({"suppressed": 10}, "active")


def test_what_is_skipped_does_not_fall_back_meanwhile(backlog, make_webhook):
    spare = make_webhook()
    sink = backlog(options=Options.model_validate({"fallback": {"event_sink_id": str(spare.uuid), "after_s": 1}}))
    hour_ago = make_least_id(read_database_clock() - hours(1)).int
    for number, id in enumerate(list(Delivery.objects.values_list("id", flat=True))):
        Delivery.objects.filter(id=id).update(id=type(id)(int=hour_ago + number))
    configure.resume(sink, skip=True)
    assert fall_back.fall_back_everywhere() == 0
    clear.work_off_clearings()
    assert (states(spare), states(sink)) == ({}, {"suppressed": 10})


def test_a_resuming_sink_with_nothing_left_to_clear_is_let_go(backlog):
    sink = backlog(0)
    Destination.objects.filter(id=sink.id).update(state="resuming")
    clear.work_off_clearings()
    assert state_of(sink) == "active"


# --- Deleting -------------------------------------------------------------------------------------


def test_a_deleted_sink_with_a_large_backlog_is_gone_at_once_and_nothing_of_it_is_sent(backlog, acme):
    sink = backlog()
    configure.resume(sink)
    assert configure.delete(sink)
    assert Destination.objects.get(id=sink.id).sealed_secrets == ""
    assert (find_due_lanes(10), sent()) == ([], [])
    assert (states(sink), audit_account(acme).balances) == ({"pending": 10}, True)
    step_all()
    assert (states(sink), audit_account(acme).balances) == ({"suppressed": 3, "pending": 7}, True)
    clear.work_off_clearings()
    assert (states(sink), audit_account(acme).balances) == ({"suppressed": 10}, True)
    assert set(Delivery.objects.values_list("reason", flat=True)) == {DELETED}
    assert sent() == []


def test_what_comes_back_of_a_deleted_sink_is_cleared_however_much_it_is(backlog):
    sink = backlog()
    configure.delete(sink)
    clear.work_off_clearings()
    Delivery.objects.update(state="pending", settled_at=None)
    tidy_up()
    tidy_up()
    assert Clearing.objects.running().count() == 1
    clear.work_off_clearings()
    assert states(sink) == {"suppressed": 10}


def test_what_a_lost_worker_held_for_a_deleted_sink_is_cleared_by_batches_too(backlog):
    sink = backlog()
    Delivery.objects.update(state="sending", lease="00000000-0000-0000-0000-000000000001", tries=1)
    Delivery.objects.update(due_at=Now() + hours(1))
    configure.delete(sink)
    clear.work_off_clearings()
    assert states(sink) == {"sending": 10}  # their workers may still settle them
    Delivery.objects.update(due_at=Now() - hours(1))
    tidy_up()
    clear.work_off_clearings()
    assert states(sink) == {"suppressed": 10}


# --- Killed, twice, and side by side --------------------------------------------------------------


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("after", range(1, 12))
def test_killed_after_any_statement_it_goes_on_where_it_was(backlog, after):
    sink = backlog()
    configure.resume(sink, skip=True)
    left = [after]

    def kill(execute, sql, parameters, many, context):
        left[0] -= 1
        if left[0] == -1:  # once: what it had done is rolled back
            raise Killed
        return execute(sql, parameters, many, context)

    id = Clearing.objects.get().id
    with connection.execute_wrapper(kill), pytest.raises(Killed):
        list(map(clear.clear_step, [id] * 9))
    clearing = Clearing.objects.get()
    assert states(sink).get("suppressed", 0) == clearing.suppressed
    clear.work_off_clearings()
    clearing.refresh_from_db()
    assert (states(sink), clearing.suppressed, state_of(sink)) == ({"suppressed": 10}, 10, "active")


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_in_the_middle_leaves_the_rest_to_the_next(backlog):
    sink = backlog(30)
    configure.resume(sink, skip=True)
    program = f"""
import os, time
import django
from django.conf import settings
django.setup()
settings.DATABASES["default"]["NAME"] = {str(connection.settings_dict["NAME"])!r}
from eventsinks.actions import clear
from eventsinks.models import Clearing
clear.AT_ONCE, clear.LOOKED_AT = 3, 5
id = Clearing.objects.get().id
for _ in range(3):
    clear.clear_step(id)
    print("stepped", flush=True)
from django.db import transaction
with transaction.atomic():
    Clearing.objects.update(suppressed=1000)  # of a step that never ends
    print("in the middle", flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert [worker.stdout.readline().strip() for _ in range(4)] == [*["stepped"] * 3, "in the middle"]
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(20)
        worker.stdout.close()
    clearing = Clearing.objects.get()
    assert 0 < clearing.suppressed == states(sink)["suppressed"] < 30
    clear.work_off_clearings()
    clearing.refresh_from_db()
    assert (states(sink), clearing.suppressed, state_of(sink)) == ({"suppressed": 30}, 30, "active")


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_do_nothing_twice(backlog):
    sink = backlog(60)
    configure.resume(sink, skip=True)
    results = at_once(4, lambda index: clear.work_off_clearings())
    assert [found for found in results if isinstance(found, Exception)] == []
    clear.work_off_clearings()
    clearing = Clearing.objects.get()
    assert (states(sink), clearing.suppressed, state_of(sink)) == ({"suppressed": 60}, 60, "active")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_a_sweep_leaves_alone_what_another_is_at_and_does_not_wait_for_it(backlog):
    sink = backlog()
    configure.resume(sink, skip=True)
    id = Clearing.objects.get().id
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Clearing.objects.select_for_update().get(id=id)
            held.set()
            done.wait(30)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert held.wait(30)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        assert clear.clear_step(id) == (0, False)
        assert states(sink) == {"pending": 10}
    finally:
        done.set()
        other.join(30)
        connection.close()


def test_another_tenants_ten_do_not_wait_for_this_ones_many(backlog, globex, monkeypatch):
    many, few = [backlog(40) for _ in range(3)], backlog(4, tenant=globex)
    for sink in [*many, few]:
        configure.resume(sink, skip=True)
    steps, step = [], clear.clear_step

    def counted(id):
        steps.append(Clearing.objects.values_list("destination_id", flat=True).get(id=id))
        return step(id)

    monkeypatch.setattr(clear, "clear_step", counted)
    clear.work_off_clearings()
    last = max(index for index, destination in enumerate(steps) if destination == few.id)
    assert last <= 2 * steps.count(few.id)
    assert sum(map(steps.count, (sink.id for sink in many))) >= 40


def test_a_chore_ends_when_its_time_is_over_and_no_tenant_is_always_left_out():
    done = []

    def do(job):
        done.append(job)
        return 1, True

    jobs = [(uuid.UUID(int=tenant), f"{tenant}{number}") for tenant in range(6) for number in range(3)]
    for _ in range(60):
        do_in_turns(jobs, do, seconds=1e-5)
    assert {job[0] for job in done} == set("012345")


def test_a_job_that_goes_wrong_stops_no_other(caplog):
    def do(job):
        if job == "ill":
            raise ValueError("no")
        return 1, False

    assert do_in_turns([("a", "ill"), ("a", "well"), ("b", "well")], do, seconds=9) == 2
    assert "the next sweep tries again" in caplog.text


# --- Told -----------------------------------------------------------------------------------------


def test_progress_is_told(backlog):
    sink = backlog()
    configure.resume(sink, skip=True)
    clearing = Clearing.objects.get()
    assert (clearing.left(), count_open().clearing) == ((10, False), 10)
    clear.clear_step(clearing.id)
    clearing.refresh_from_db()
    assert (clearing.suppressed, clearing.left(), count_open().clearing) == (3, (7, False), 7)
    assert "what it skips is suppressed first" in explain_delivery(
        Delivery.objects.filter(state="pending").first()
    )
    clear.work_off_clearings()
    assert count_open().clearing == 0


def test_why_says_that_a_deleted_sinks_deliveries_will_be_suppressed(backlog):
    configure.delete(backlog())
    assert "the event sink was deleted" in explain_delivery(Delivery.objects.first())


# --- Replays, counted and gone through in stretches -----------------------------------------------


def test_a_replay_of_a_long_stretch_is_counted_by_the_sweep_before_it_begins(backlog, monkeypatch):
    monkeypatch.setattr(replay_job, "COUNTED", 4)
    monkeypatch.setattr(replay_job, "LOOKED_AT", 3)
    sink = backlog(11)
    Delivery.objects.update(state="failed", tries=10, settled_at=Now())
    Delivery.objects.filter(id__in=list(Delivery.objects.order_by("id").values_list("id", flat=True)[3:8])).update(
        state="suppressed"
    )
    assert replays.preview(sink, read_database_clock() - hours(1)) == (3, True)
    made = replays.start(sink, read_database_clock() - hours(1))
    assert (made.counted, made.counted_to is None) == (3, False)
    counted = []
    while made.counted_to is not None:
        assert replay_job.work_off_replays() == 0
        made.refresh_from_db()
        counted.append(made.counted)
    assert counted[-1] == 6
    for _ in range(9):
        replay_job.work_off_replays()
    made.refresh_from_db()
    assert (made.replayed, made.state, states(sink)) == (6, "done", {"pending": 6, "suppressed": 5})


def test_a_log_of_events_is_not_needed_to_clear(backlog):
    sink = backlog()
    Event.objects.all().delete()
    configure.resume(sink, skip=True)
    clear.work_off_clearings()
    assert states(sink) == {"pending": 10}  # they are of no event that was there


# --- The other chores of the sweep ----------------------------------------------------------------


def windows_of(sink, number, **columns):
    ended = {"starts_at": Now() - hours(1), "ends_at": Now() - hours(0.5)} | columns
    made = [QuietWindow(destination=sink, kind="group", key=str(key), **ended) for key in range(number)]
    QuietWindow.objects.bulk_create(made)


def test_windows_are_closed_and_forgotten_in_batches(make_webhook, monkeypatch):
    monkeypatch.setattr(quiet_window, "AT_ONCE", 3)
    monkeypatch.setattr(digest, "WINDOWS", 3)
    windows_of(make_webhook(), 10)
    assert [QuietWindow.objects.close_ended() for _ in range(5)] == [3, 3, 3, 1, 0]
    assert QuietWindow.objects.forget_empty() == 3
    windows_of(make_webhook(), 4)
    assert digest.send_digests() == 0
    assert not QuietWindow.objects.exists()


def test_one_tenants_many_digests_do_not_hold_anothers_few(make_webhook, globex, monkeypatch):
    monkeypatch.setattr(digest, "AT_ONCE", 2)
    many, few = make_webhook(), make_webhook(tenant=globex)
    windows_of(many, 20, held=1)
    windows_of(few, 3, held=1)
    told, tell_some = [], digest.send_digests_of_sink

    def noted(sink_id):
        told.append(sink_id)
        return tell_some(sink_id)

    monkeypatch.setattr(digest, "send_digests_of_sink", noted)
    assert digest.send_digests() == 23
    assert max(index for index, sink_id in enumerate(told) if sink_id == few.id) <= 4
    assert digest.send_digests() == 0


def test_deliveries_are_given_up_in_batches(backlog, monkeypatch):
    sink = backlog(7)
    monkeypatch.setattr(lost, "AT_ONCE", 3)
    monkeypatch.setattr(tidying, "AT_ONCE", 3)
    Delivery.objects.update(tries=200)
    assert lost.give_up_lost(10, sink.id) == 3
    assert lost.find_sinks_with_lost(10) == [sink.id]
    assert tidy_up() == 4
    assert (states(sink), lost.find_sinks_with_lost(10)) == ({"failed": 7}, [])


def test_old_incidents_are_forgotten_in_batches(make_webhook, monkeypatch):
    monkeypatch.setattr(incident, "AT_ONCE", 3)
    sink = make_webhook()
    for number in range(5):
        Incident.objects.remember((sink.id, str(number)), {})
    Incident.objects.update(updated_at=Now() - timedelta(days=31))
    for left in (2, 0):
        tidy_up()
        assert Incident.objects.count() == left


def test_one_sinks_many_fall_backs_take_turns_with_anothers_few(backlog, make_webhook, globex, monkeypatch):
    monkeypatch.setattr(fall_back, "AT_ONCE", 2)
    sinks = []
    for tenant, number in ((None, 9), (globex, 3)):
        spare = make_webhook(tenant=tenant)
        options = Options.model_validate({"fallback": {"event_sink_id": str(spare.uuid)}})
        sinks.append(backlog(number, tenant=tenant, options=options))
    Delivery.objects.update(state="failed", settled_at=Now())
    turns_taken, next_fall_back = [], fall_back.fall_back_sink

    def noted(sink):
        turns_taken.append(sink.id)
        return next_fall_back(sink)

    monkeypatch.setattr(fall_back, "fall_back_sink", noted)
    assert fall_back.fall_back_everywhere() == 12
    assert max(index for index, id in enumerate(turns_taken) if id == sinks[1].id) <= 4
