"""Round robin: does jobs of several tenants, one batch of each tenant at a time, within a time limit."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from eventsinks.limits.isolation import isolate

SECONDS = 0.5  # for one kind of job in one sweep; the rest waits for the next sweep
Job = TypeVar("Job")


def do_in_turns(
    jobs: Iterable[tuple[UUID, Job]], do: Callable[[Job], tuple[int, bool]], seconds: float | None = None
) -> int:
    """Do one batch of each tenant's jobs in turn, until all are done or time is up. Return the sum of the results.

    `do` returns the result of one batch, and whether there is more. A failed job waits for the next sweep. The
    order is random: if there are more jobs than time, every one gets done sooner or later. `seconds` is SECONDS if
    not given.
    """
    queues: dict[UUID, deque[Job]] = {}
    for tenant, job in jobs:
        queues.setdefault(tenant, deque()).append(job)
    for queue in queues.values():
        random.shuffle(queue)
    turns = deque(random.sample(list(queues.values()), len(queues)))
    until, done = time.monotonic() + (SECONDS if seconds is None else seconds), 0
    while turns and time.monotonic() < until:
        queue = turns.popleft()
        job = queue.popleft()
        came, more = _do_isolated(do, job)
        done += came
        if more:
            queue.append(job)
        if queue:
            turns.append(queue)
    return done


def _do_isolated(do: Callable[[Any], tuple[int, bool]], job: Any) -> tuple[int, bool]:
    with isolate(f"{do.__name__} failed for {job}; the next sweep tries again"):
        return do(job)
    return 0, False
