"""Isolation: an error of one row does not stop the others. A lost database still stops them all."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import Error, connection
from django.db.models import Model

from eventsinks.models.database import sql

log = logging.getLogger(__name__)

MOST_IN_VAIN = 1.0  # seconds

Row = TypeVar("Row", bound=Model)


def do_each(rows: Iterable[Row], do: Callable[[Row], int]) -> int:
    """Call `do` for every row, even if it raises for some of them. Return the sum of the results.

    After MOST_IN_VAIN seconds spent on failing rows, the other rows wait for the next time. The order is random,
    so no row waits every time.
    """
    done, in_vain = 0, 0.0
    for row in random.sample(found := list(rows), len(found)):
        began = time.monotonic()
        try:
            done += do(row)
        except Exception as error:
            note_harm(error, f"{do.__name__} failed for {row.pk}; the next sweep tries again")
            in_vain += time.monotonic() - began
        if in_vain > MOST_IN_VAIN:
            break
    return done


@contextmanager
def isolate(about: str) -> Iterator[None]:
    """Log an exception that is raised inside, with `about` and its traceback, and continue after the block."""
    try:
        yield
    except Exception as error:
        note_harm(error, about)


def note_harm(error: Exception, about: str) -> None:
    """Log an error that affects one row only. Raise it again if the database is lost: that affects all rows."""
    if isinstance(error, Error) and not connection.is_usable():
        raise error
    if sql.is_locked(error):  # the row is fine, and the traceback would help nobody
        log.warning("%s: it is locked", about)
    else:
        log.error("%s", about, exc_info=error)
