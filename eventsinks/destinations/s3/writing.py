"""Writes many objects, several at once, until there is trouble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeGuard
from uuid import UUID

from eventsinks.destinations.base import EventRefused, SendFailure, Temporary
from eventsinks.destinations.s3.objects import S3Object
from eventsinks.lib.net.aws import AT_ONCE
from eventsinks.lib.net.wire import Response

Write = Callable[[S3Object], Response]  # raises SendFailure
WriteResult = Response | SendFailure


class WrittenObjects(NamedTuple):
    """The result: the written objects, the failures of the other messages, and the last response."""

    objects: list[S3Object]
    failures: dict[UUID, SendFailure]
    response: Response | None


def write_all(objects: Sequence[S3Object], write: Write) -> WrittenObjects:
    """Write objects until there is trouble. The rest waits for the next try, with the same reason.

    Raises SendFailure if none was written.
    """
    outcomes: list[WriteResult] = []
    trouble: SendFailure | None = None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while trouble is None and len(outcomes) < len(objects):
            some = objects[len(outcomes) : len(outcomes) + AT_ONCE]
            outcomes += pool.map(try_write, [write] * len(some), some)
            trouble = next(filter(is_trouble, outcomes[-len(some) :]), None)
    if trouble is not None:
        outcomes += [trouble] * (len(objects) - len(outcomes))
    pairs = list(zip(objects, outcomes, strict=True))
    written = [object for object, outcome in pairs if isinstance(outcome, Response)]
    if trouble is not None and not written:
        raise trouble
    failures = {id: why for object, why in pairs if isinstance(why, SendFailure) for id in object.ids}
    responses = [outcome for outcome in outcomes if isinstance(outcome, Response)]
    said = trouble.response if trouble else None
    return WrittenObjects(written, failures, said or (responses[-1] if responses else None))


def try_write(write: Write, object: S3Object) -> WriteResult:
    """Write one object. Return a failure instead of raising it."""
    try:
        return write(object)
    except SendFailure as failure:
        return failure


def is_trouble(outcome: WriteResult) -> TypeGuard[SendFailure]:
    """Whether this failure would stop the other objects, too."""
    return isinstance(outcome, SendFailure) and not isinstance(outcome, EventRefused)


def make_blameless(failure: SendFailure) -> SendFailure:
    """Return the failure of an object with many events as one that blames no event.

    A blamed event is tried apart, under another name. But the object may exist, because its answer may be lost.
    """
    return Temporary(failure.reason, None, failure.retry_after) if isinstance(failure, Temporary) else failure
