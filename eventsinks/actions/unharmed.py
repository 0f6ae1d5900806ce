"""Unharmed: one row that goes wrong must not stop the others. A lost database still stops them all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import Error, connection
from django.db.models import Model

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)


def each(rows: Iterable[Row], do: Callable[[Row], int]) -> int:
    """Do it for every row, whatever is raised for one of them. Return the sum of what came of them."""
    done = 0
    for row in rows:
        with unharmed(f"{do.__name__} failed for {row.pk}; the next sweep tries again"):
            done += do(row)
    return done


@contextmanager
def unharmed(about: str) -> Iterator[None]:
    """Log what is raised inside, with `about` and its traceback, and go on behind it."""
    try:
        yield
    except Exception as error:
        note(error, about)


def note(error: Exception, about: str) -> None:
    """Log an error that harms one row only. Raises it again where the database is lost: that harms all of them."""
    if isinstance(error, Error) and not connection.is_usable():
        raise error
    log.error("%s", about, exc_info=error)
