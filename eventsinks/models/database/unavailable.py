"""Unavailable: the reasons why a database accepts nothing now but may later, in plain words."""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError

from eventsinks.models.database import sql

log = logging.getLogger(__name__)

# By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), and by SQLite's messages
# (https://www.sqlite.org/rescode.html).
READ_ONLY, FULL = "the database is read-only", "the database's disk is full"
LOCKED = "somebody else has locked what it needs"
STATES = {
    "25006": READ_ONLY,
    "40P01": LOCKED,
    sql.LOCK_NOT_AVAILABLE: LOCKED,
    "53100": FULL,
    "53200": "the database is out of memory",
    "53300": "the database takes no more connections",
    "57014": "the database took too long",
    "57P01": "the database is shutting down",
    "57P02": "the database has crashed",
    "57P03": "the database is starting",
}
SAID = {
    "readonly database": READ_ONLY,
    "disk is full": FULL,
    "database is locked": LOCKED,
    "disk I/O error": "the database's disk has a fault",
}
UNREACHABLE = "the database can't be reached"
FOR_LONG = {READ_ONLY, FULL}  # a person must repair these
TELL_AGAIN = 10.0  # seconds between two log lines about the same

_told: dict[str, float] = {}
_unwritable: tuple[str, float] = ("", 0.0)  # the last reason that this process met, and when


def find_reason(error: BaseException) -> str:
    """Return why the database accepts nothing now, "" if the error has another cause."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return ""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    text = str(error)
    reason = STATES.get(state) or next((why for said, why in SAID.items() if said in text), "")
    if not reason and isinstance(error, OperationalError | InterfaceError):
        reason = UNREACHABLE
    if isinstance(error, InternalError) and state != "25006":  # our own fault
        return ""
    remember(reason)
    return reason


def remember(reason: str) -> None:
    """Record that this process could not write."""
    global _unwritable
    if reason in FOR_LONG:
        _unwritable = (reason, time.monotonic())


def recent_reason(seconds: float) -> str:
    """Return what prevented this process from writing within the last `seconds`, "" if nothing did."""
    reason, at = _unwritable
    return reason if reason and time.monotonic() - at < seconds else ""


def pause_for(reason: str) -> int:
    """Return the number of seconds until the next try."""
    return 10 if reason in FOR_LONG else 1


def tell(reason: str, what: str) -> None:
    """Log the reason in one line, at most once in TELL_AGAIN seconds."""
    now = time.monotonic()
    if now - _told.get(reason, -TELL_AGAIN) >= TELL_AGAIN:
        _told[reason] = now
        log.error("%s: %s; it is tried again", what, reason)
