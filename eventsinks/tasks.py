"""When: Celery tasks. Each carries at most ids, calls an action, and decides nothing."""

from __future__ import annotations

import functools
import resource
import threading
from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_shutting_down
from django.conf import settings

from eventsinks.actions import nudge, tidy
from eventsinks.actions.deliver import Pump
from eventsinks.lib.addresses import AddressGuard
from eventsinks.lib.http import Outlet

_stopping = threading.Event()
_pumping = threading.Lock()


@shared_task(name="eventsinks.tasks.deliver")
def deliver() -> int:
    """Deliver what is due, as a nudge asked."""
    return drain()


def drain() -> int:
    """Deliver until nothing is due. One at a time in a process: a running one looks again by itself."""
    nudge.answered()
    if not _pumping.acquire(blocking=False):
        return 0
    try:
        return pump().run()
    finally:
        _pumping.release()


@shared_task(name="eventsinks.tasks.sweep")
def sweep() -> int:
    """Look for everything due, whatever became of its nudge."""
    tidy.tidy()
    return drain()


@functools.cache
def pump() -> Pump:
    """Return this process's pump; its connections outlive a run."""
    guard = AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS)
    return Pump(Outlet(guard, settings.EVENTSINKS_TIMEOUT), _stopping.is_set)


@worker_init.connect
def allow_many_sockets(**_: Any) -> None:
    """Raise the soft limit of open files to the hard one: each exchange is a socket."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))


@worker_shutting_down.connect
def stop_claiming(**_: Any) -> None:
    """Finish what is in flight, and claim no more."""
    _stopping.set()
