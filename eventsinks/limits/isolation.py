"""Unharmed: one row that goes wrong must not stop the others. A lost database still stops them all."""

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
    """Do it for every row, whatever is raised for one of them. Return the sum of what came of them.

    Where rows that go wrong have taken MOST_IN_VAIN seconds the others wait for the next time. None always does:
    each time the order is another one.
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
    """Log what is raised inside, with `about` and its traceback, and go on behind it."""
    try:
        yield
    except Exception as error:
        note_harm(error, about)


def note_harm(error: Exception, about: str) -> None:
    """Log an error that harms one row only. Raises it again where the database is lost: that harms all of them."""
    if isinstance(error, Error) and not connection.is_usable():
        raise error
    if sql.is_locked(error):  # nothing is wrong with the row, and nobody learns from the traceback
        log.warning("%s: it is locked", about)
    else:
        log.error("%s", about, exc_info=error)
