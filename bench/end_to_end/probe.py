"""Questions to the database and the broker that the bench asks beside the measured processes."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
import redis

# Under these settings a commit is on disk before it is answered.
SAFE = ("fsync", "synchronous_commit")


class Probe:
    """One connection to the database and one to the broker."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        self._url = database_url
        self.postgresql = database_url.startswith("postgres")
        self._connection: Any = (
            psycopg.connect(database_url, autocommit=True)
            if self.postgresql
            else sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        )
        self.asked = 0  # how many questions were asked here
        self._broker = redis.Redis.from_url(broker_url)
        if self.postgresql:
            unsafe = [name for name in SAFE if self.ask(f"SHOW {name}") != "on"]
            assert not unsafe, f"PostgreSQL runs without {unsafe}"

    def ask(self, question: str, *values: object) -> Any:
        """Return the first column of the first row, None if there is no row."""
        self.asked += 1
        text = question.replace("?", "%s") if self.postgresql else question
        row = self._connection.execute(text, values).fetchone()
        return row[0] if row else None

    def has_open(self, destinations: Sequence[int]) -> bool:
        """Whether a delivery to one of these is not settled yet."""
        marks = ", ".join("?" * len(destinations))
        return bool(
            self.ask(
                "SELECT 1 FROM eventsinks_delivery WHERE state IN ('pending', 'sending')"
                f" AND destination_id IN ({marks}) LIMIT 1",
                *destinations,
            )
        )

    def count_delivered(self, destinations: Sequence[int]) -> int:
        """Return how many deliveries to these are on record as delivered."""
        marks = ", ".join("?" * len(destinations))
        question = "SELECT count(*) FROM eventsinks_delivery WHERE state = 'delivered' AND destination_id IN"
        return int(self.ask(f"{question} ({marks})", *destinations)) if destinations else 0

    def count_events(self, tenant_id: str, type: str) -> int:
        """Return how many events a tenant has of a type."""
        tenant = tenant_id if self.postgresql else uuid.UUID(tenant_id).hex
        return int(
            self.ask("SELECT count(*) FROM eventsinks_event WHERE tenant_id = ? AND type = ?", tenant, type)
        )

    def count_streamed(self, destinations: Sequence[int]) -> int:
        """Return how many events these integrations have sent."""
        question = "SELECT sent_events FROM eventsinks_position WHERE destination_id = ?"
        return sum(int(self.ask(question, one)) for one in destinations)

    def count_commits(self) -> int:
        """Return how many transactions PostgreSQL has committed, without those of this probe.

        SQLite does not count them, so 0.
        """
        question = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        return int(self.ask(question)) - self.asked if self.postgresql else 0

    def count_commands(self) -> int:
        """Return how many commands the broker has processed."""
        told: Any = self._broker.info("stats")
        return int(told["total_commands_processed"])

    def tidy(self) -> None:
        """Do what autovacuum does, so that it does not come in the middle of a measurement."""
        if self.postgresql:
            self._connection.execute("VACUUM (ANALYZE) eventsinks_event, eventsinks_delivery, eventsinks_attempt")

    def hold_snapshot(self) -> Any:
        """Return a connection to PostgreSQL with a transaction that sees the tables as they are now."""
        if not self.postgresql:
            return None
        old = psycopg.connect(self._url)
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM eventsinks_destination")
        return old
