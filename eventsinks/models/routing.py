"""Routing: a number for each tenant that rises when something changes that decides where its events go.

Triggers of the database raise it, so it rises with every writer: an old process, a shell, a restored backup. A
process compares it before it uses a route that it remembers.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.db import connection, models

from eventsinks.models.database import sql

# The columns of a destination that decide it; the engine's own columns do not.
OF_DESTINATIONS = (
    *("type", "event_types", "filter", "alert_template", "quiet", "ordering", "ordering_key", "deleted_at"),
)
OF_SILENCES = ("destination_id", "filter", "author", "reason", "starts_at", "ends_at")
TABLES = {"destination": OF_DESTINATIONS, "silence": OF_SILENCES}
RAISE = """INSERT INTO eventsinks_routing (tenant_id, version) VALUES ({row}.tenant_id, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET version = eventsinks_routing.version + 1;"""


class Routing(models.Model):
    """The number of one tenant. A tenant without a row has the number 0."""

    # No constraint: the row of a deleted tenant does no harm, and its number must never be given again.
    tenant_id = models.UUIDField(primary_key=True)
    version = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.version}"


def read_versions(tenant_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return the numbers of these tenants."""
    found = Routing.objects.filter(tenant_id__in=tenant_ids).values_list("tenant_id", "version")
    return dict.fromkeys(tenant_ids, 0) | dict(found)


def install_triggers(**sent: Any) -> None:
    """Create the triggers, or replace them. Every `migrate` does this: SQLite loses them with a rebuilt table.

    `sent` is what the signal post_migrate says; `flush` sends it too, without a plan, and keeps the triggers.
    """
    if "plan" not in sent or Routing._meta.db_table not in connection.introspection.table_names():
        return  # without the table: somebody migrates back
    statements = list_postgresql_triggers() if sql.is_postgresql() else list_sqlite_triggers()
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def list_postgresql_triggers() -> list[str]:
    """Return the statements that create them on PostgreSQL."""
    found = [
        f"""CREATE OR REPLACE FUNCTION eventsinks_raise_routing() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN {RAISE.format(row="OLD")} ELSE {RAISE.format(row="NEW")} END IF;
            RETURN NULL;
        END $$"""
    ]
    for table, columns in TABLES.items():
        changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
        for event, condition in (("INSERT", ""), ("DELETE", ""), ("UPDATE", f"WHEN ({changed})")):
            found.append(
                f"""CREATE OR REPLACE TRIGGER {table}_{event.lower()}_raises_routing AFTER {event}
                ON eventsinks_{table} FOR EACH ROW {condition} EXECUTE FUNCTION eventsinks_raise_routing()"""
            )
    return found


def list_sqlite_triggers() -> list[str]:
    """Return the statements that create them on SQLite."""
    found = []
    for table, columns in TABLES.items():
        changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
        for event, condition in (("INSERT", ""), ("DELETE", ""), ("UPDATE", f"WHEN {changed}")):
            name = f"{table}_{event.lower()}_raises_routing"
            row = "OLD" if event == "DELETE" else "NEW"
            found += [
                f"DROP TRIGGER IF EXISTS {name}",
                f"""CREATE TRIGGER {name} AFTER {event} ON eventsinks_{table} {condition}
                BEGIN {RAISE.format(row=row)} END""",
            ]
    return found
