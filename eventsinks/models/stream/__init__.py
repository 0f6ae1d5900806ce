"""Streams: how far each integration has come in its tenant's event log, and its open batch.

A position is a place in the order (xid, id). The xid is the id of the transaction that wrote an event. PostgreSQL
assigns ids before their transactions commit, so an event with a lower id may appear after one with a higher id. A
reader that takes only transactions older than every running one, in that order, skips nothing. On SQLite writers
are serial, every xid is 0, and the id decides.
"""

from eventsinks.models.stream.batch import Batch, LogPlace
from eventsinks.models.stream.holder import find_holder
from eventsinks.models.stream.position import Position
from eventsinks.models.stream.read import (
    find_dead_letters_due,
    find_due_positions,
    find_end_of_log,
    find_end_of_moment,
    find_last_settled,
    find_moment_of_log,
    get_beginning,
    look_ahead,
    read_members,
)
from eventsinks.models.stream.renumber import log_is_ahead, renumber_log
from eventsinks.models.stream.unlisted import find_hour, find_unlisted
from eventsinks.models.stream.waiting import FAR, count_backlog, find_newest_until, find_unsent

__all__ = [
    "FAR",
    "Batch",
    "LogPlace",
    "Position",
    "count_backlog",
    "find_dead_letters_due",
    "find_due_positions",
    "find_end_of_log",
    "find_end_of_moment",
    "find_holder",
    "find_hour",
    "find_last_settled",
    "find_moment_of_log",
    "find_newest_until",
    "find_unlisted",
    "find_unsent",
    "get_beginning",
    "log_is_ahead",
    "look_ahead",
    "read_members",
    "renumber_log",
]
