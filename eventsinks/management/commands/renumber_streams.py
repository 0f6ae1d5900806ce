"""Make streams go on after a dump was restored into another PostgreSQL cluster."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from eventsinks.models.database import sql
from eventsinks.models.stream import renumber_log


class Command(BaseCommand):
    """Make streams go on after a dump was restored into another PostgreSQL cluster."""

    help = "Makes streams go on after a dump was restored into another PostgreSQL cluster. Skips nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Renumber the log if necessary, and print the result."""
        moved = renumber_log() if sql.is_postgresql() else None
        if moved is None:
            self.stdout.write("Nothing to do: the log's transactions are those of this database.")
        else:
            self.stdout.write(f"{moved} events lie below this cluster's transactions now. Streams go on.")
