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
    last_settled,
    look_ahead,
    moment_of_log,
    read_members,
)
from eventsinks.models.stream.rows import Batch, Place, Position

__all__ = [
    "Batch",
    "Place",
    "Position",
    "beginning",
    "due_positions",
    "end_of_log",
    "last_settled",
    "look_ahead",
    "moment_of_log",
    "read_members",
]
