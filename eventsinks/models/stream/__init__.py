"""Streams: how far each integration has come in its tenant's event log, and the batch it is at.

A position is a place in the order (xid, id), where xid is the id of the transaction that wrote an event. On
PostgreSQL ids are handed out before their transactions commit, so an event with a lower id may appear after one
with a higher id; a reader that takes only transactions older than every running one, in that order, skips nothing.
On SQLite writers are serial, every xid is 0, and the id decides.
"""

from eventsinks.models.stream.read import (
    beginning,
    due_positions,
    end_of_log,
    end_of_moment,
    last_settled,
    look_ahead,
    moment_of_log,
    read_members,
    set_aside_due,
)
from eventsinks.models.stream.renumber import log_is_ahead, renumber_log
from eventsinks.models.stream.rows import Batch, Place, Position
from eventsinks.models.stream.unlisted import hour_of, unlisted
from eventsinks.models.stream.waiting import backlog, newest_until

__all__ = [
    "Batch",
    "Place",
    "Position",
    "backlog",
    "beginning",
    "due_positions",
    "end_of_log",
    "end_of_moment",
    "hour_of",
    "last_settled",
    "log_is_ahead",
    "look_ahead",
    "moment_of_log",
    "newest_until",
    "read_members",
    "renumber_log",
    "set_aside_due",
    "unlisted",
]
