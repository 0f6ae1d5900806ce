"""Unharmed: one row that goes wrong must not stop the others. A lost database still stops them all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection

log = logging.getLogger(__name__)


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
