"""What is on record: questions that a run asks the database beside the product."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg

Errors = (psycopg.Error, sqlite3.Error)
SENDING = "SELECT count(*) FROM eventsinks_delivery WHERE state = 'sending'"
OPEN = "SELECT count(*) FROM eventsinks_delivery WHERE state IN ('pending', 'sending')"
STATES = "SELECT state, count(*) FROM eventsinks_delivery GROUP BY state"
BATCHES = "SELECT count(*) FROM eventsinks_batch WHERE state = 'open'"
KEYS = "SELECT key FROM eventsinks_event WHERE key LIKE 'chaos-%'"


def read_rows(database: Any, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows. Raises one of Errors if the database is away."""
    connection = database.connect()
    try:
        return list(connection.execute(statement).fetchall())
    finally:
        connection.close()


def count(database: Any, statement: str) -> int:
    """Return a number, -1 if the database is away."""
    try:
        return int(read_rows(database, statement)[0][0])
    except Errors:
        return -1


def read_keys(database: Any) -> set[str]:
    """Return the ids of all events of the load that are in the log."""
    return {str(key) for (key,) in read_rows(database, KEYS)}


def read_states(database: Any) -> dict[str, int]:
    """Return how many deliveries are in each state."""
    return {str(state): int(number) for state, number in read_rows(database, STATES)}
