"""Tasks: the Celery tasks. Each carries at most ids, calls an action, and decides nothing."""

from __future__ import annotations

import functools
import logging
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

from celery import Task, shared_task
from celery.signals import beat_init, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import Error

from eventsinks import telemetry
from eventsinks.actions import clear
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.secrets import reencrypt, rotate_secret, start
from eventsinks.checks import MAKE_THEM_GO, STREAMS_STAND
from eventsinks.intake import line_up, nudge
from eventsinks.lib.garbage import look_for_garbage_less
from eventsinks.lib.net.http import Outlet
from eventsinks.limits.address_guard import make_guard
from eventsinks.models import Finding
from eventsinks.models.counting.roll_up import roll_up
from eventsinks.models.database import sql, unavailable
from eventsinks.models.destination import make_mail_server
from eventsinks.models.stream import find_due_positions, log_is_ahead
from eventsinks.resident import Resident
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.streaming import streamer as stream_action
from eventsinks.streaming.asked import forget_asked, is_first_to_ask
from eventsinks.sweeping import (
    delete_tenants,
    digest,
    facts,
    fall_back,
    forget,
    heartbeat,
    index_alerts,
    retain,
    slack_tokens,
    tell,
    tidy,
)
from eventsinks.sweeping.auditing import walk

log = logging.getLogger(__name__)

_stopping = threading.Event()
_pumping = threading.Lock()
_wanted = threading.Event()  # set if a look for due deliveries is requested
_busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # by the name of the chore
_local = threading.local()
_began: dict[str, float] = {}  # when this process began a task of beat's, in monotonic seconds


@shared_task(name="eventsinks.tasks.deliver")
def deliver() -> int:
    """Deliver what is due. (Only web servers of an earlier version send this.)"""
    return drain()


@shared_task(name="eventsinks.tasks.stream")
def stream(destination_id: int) -> int:
    """Send to one integration. Returns at once if another worker is sending to it."""
    forget_asked(destination_id)
    try:
        start.prove_keys()
        return stream_action.stream(destination_id, get_way_out(), _stopping.is_set)
    except Error as error:
        if not (reason := unavailable.find_reason(error)):
            raise
        unavailable.tell(reason, "nothing can be streamed")
        return 0


@shared_task(name="eventsinks.tasks.look_at_streams")
def look_at_streams() -> int:
    """Start a stream task for every integration that is due, unless one waits already."""
    due = find_due_positions()
    for destination_id in due:
        if is_first_to_ask(destination_id):
            stream.apply_async((destination_id,))
    return len(due)


def get_way_out() -> Outlet:
    """Return this thread's outlet; its connections outlive a run."""
    if not hasattr(_local, "outlet"):
        _local.outlet = open_way_out()
    return cast(Outlet, _local.outlet)


def drain() -> int:
    """Deliver until nothing is due, or the database accepts nothing. Return how many were settled."""
    try:
        return drain_once()
    except Error as error:
        if not (reason := unavailable.find_reason(error)):
            raise
        unavailable.tell(reason, "nothing can be sent")
        return 0


def drain_once() -> int:
    """Deliver until nothing is due. Only one thread of a process does this; another call wakes it."""
    start.prove_keys()  # with wrong keys every sink would be parked; the database may have been away at the start
    _wanted.set()
    settled = 0
    while _wanted.is_set() and _pumping.acquire(blocking=False):
        try:
            _wanted.clear()
            settled += get_dispatcher().run()
        finally:
            _pumping.release()  # calls that came meanwhile found it running; another round does their work
    if _wanted.is_set():
        wake()
    return settled


def wake() -> None:
    """Make the running dispatcher look for work."""
    _wanted.set()
    if get_dispatcher.cache_info().currsize:
        get_dispatcher().wake()


@functools.cache
def get_resident() -> Resident:
    """Return the threads of this process that nudges wake."""
    return Resident({nudge.DELIVERIES: drain, nudge.STREAMS: look_at_streams}, wake)


def has_piled_up(task: Task[Any, Any], seconds: float) -> bool:
    """Whether this process began the task less than `seconds` ago. Then this one waited while no worker was there.

    No task expires by a clock: a worker whose clock is ahead would take all of them, and drop them.
    """
    now = time.monotonic()
    if task.request.called_directly or now - _began.get(task.name, -seconds) >= seconds:
        _began[task.name] = now
        return False
    return True


@shared_task(name="eventsinks.tasks.sweep", bind=True)
def sweep(self: Task[Any, Any]) -> int:
    """Look for everything due, even if its nudge was lost. It waits for no lock: the next sweep comes soon."""
    if has_piled_up(self, 0.5):
        return 0
    with sql.wait_shortly():
        for chore in (
            tidy.tidy_up,
            rotate_secret.end_overlaps,
            digest.send_digests,
            heartbeat.send_heartbeats,
            fall_back.fall_back_everywhere,
            tell.tell_trouble,
            replay_job.work_off_replays,
            clear.work_off_clearings,
            line_up.call_uncalled,
            retain.retain,
            forget.forget_ended,
            delete_tenants.delete_tenants,
            look_at_streams,
            index_alerts.index_alerts,
            roll_up,
        ):
            do_chore(chore)
    return drain()


def do_chore(chore: Callable[[], int]) -> None:
    """Do a chore, unless another sweep of this process still does it. Its errors must not stop the others."""
    busy = _busy[chore.__name__]
    if not busy.acquire(blocking=False):
        return
    try:
        chore()
    except Exception as error:
        if sql.is_locked(error):
            log.warning("%s met a lock; the next sweep tries again", chore.__name__)
        elif reason := unavailable.find_reason(error):
            unavailable.tell(reason, "the sweep can't do its chores")
        else:
            log.exception("%s failed; the next sweep tries again", chore.__name__)
    finally:
        busy.release()


@shared_task(name="eventsinks.tasks.refresh_slack_tokens", bind=True)
def refresh_slack_tokens(self: Task[Any, Any]) -> int:
    """Refresh Slack tokens that expire soon. This is not part of the sweep, because it calls Slack."""
    return 0 if has_piled_up(self, 30) else slack_tokens.refresh_due_tokens()


@shared_task(name="eventsinks.tasks.bind_secrets")
def bind_secrets() -> bool:
    """Bind the secrets from before an upgrade to their rows, a day after it."""
    return reencrypt.finish_binding()


@shared_task(name="eventsinks.tasks.account", bind=True)
def account(self: Task[Any, Any]) -> int:
    """Go on with the audit, and find out what the metrics say of the database. Log an error if streams stand."""
    if has_piled_up(self, 30):
        return 0
    if log_is_ahead():
        log.error("%s %s", STREAMS_STAND, MAKE_THEM_GO)
    walk.audit()
    unaccounted = Finding.objects.all().unaccounted()
    facts.find_facts(unaccounted)
    return unaccounted


@functools.cache
def get_dispatcher() -> Dispatcher:
    """Return this process's dispatcher; its connections outlive a run."""
    return Dispatcher(open_way_out(), _stopping.is_set)


def open_way_out() -> Outlet:
    """Return a new outlet, from the operator's settings."""
    return Outlet(make_guard(), settings.EVENTSINKS_TIMEOUT, make_mail_server())


@worker_init.connect
@beat_init.connect
def prove_keys(**_: Any) -> None:
    """End the process if the encryption keys are not the database's."""
    start.refuse_wrong_keys()


@worker_init.connect
def allow_many_sockets(**_: Any) -> None:
    """Raise the soft limit of open files to the hard one: each exchange is a socket."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


@worker_ready.connect
def tell_metrics(**_: Any) -> None:
    """Serve this worker's metrics if a port is set, because its counts are in its own process."""
    if settings.EVENTSINKS_WORKER_METRICS_PORT:
        telemetry.serve(settings.EVENTSINKS_WORKER_METRICS_PORT)


@worker_ready.connect
def spare_the_start(**_: Any) -> None:
    """Look for garbage less: only batches are left over."""
    look_for_garbage_less()


@worker_ready.connect
def hear_nudges(**_: Any) -> None:
    """Work as soon as a nudge comes, and not only when the sweep comes."""
    get_resident().start()


@worker_shutting_down.connect
def stop_claiming(**_: Any) -> None:
    """Claim no more, and finish what is in flight."""
    _stopping.set()


@worker_shutdown.connect
def end_resident(**_: Any) -> None:
    """Wait until what is in flight is settled."""
    get_resident().stop(settings.EVENTSINKS_TIMEOUT)
