"""In turns: work off what several tenants wait for, a batch of each at a time, and for no longer than was said."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from eventsinks.limits.isolation import isolate

SECONDS = 0.5  # of one chore in one sweep; what is left waits for the next
Job = TypeVar("Job")


def do_in_turns(
    jobs: Iterable[tuple[UUID, Job]], do: Callable[[Job], tuple[int, bool]], seconds: float | None = None
) -> int:
    """Do a batch of each tenant's jobs in turn until all are done or `seconds` are over. Return what came of them.

    `do` returns what came of one batch, and whether there is more. A job that goes wrong waits for the next sweep.
    The order is random, so that with more tenants, or jobs of one, than time everybody has a turn.
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
