"""Triggers: count each move of a delivery's state but settlements, whoever makes it: code or a shell.

A settlement counts itself, because a trigger would cost it more (settle.py). It alone changes `due_at` of a
delivery that a worker holds, so the triggers know it.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from eventsinks.models.counting.add import UPSERT, insert_sql
from eventsinks.models.counting.slots import GRAIN, slot_sql
from eventsinks.models.counting.tables import Count
from eventsinks.models.database import sql

NAME = "delivery_move_counts"
OPEN = "('pending', 'sending')"
MOVED = f"""OLD.state <> NEW.state AND NOT (OLD.state IN {OPEN} AND NEW.state IN {OPEN})
    AND NOT (OLD.state = 'sending' AND OLD.due_at <> NEW.due_at)"""
MOVES = f"""
    SELECT sink.tenant_id, NEW.destination_id, move.what, {{slot}}, move.n
    FROM eventsinks_destination AS sink, (
        SELECT OLD.state AS what, -1 AS n UNION ALL SELECT NEW.state, 1) AS move
    WHERE sink.id = NEW.destination_id AND move.what NOT IN {OPEN}"""


def install_triggers(**sent: Any) -> None:
    """Create the triggers. Every `migrate` does this: SQLite loses them with a rebuilt table.

    `sent` is what the signal post_migrate says; `flush` sends it too, without a plan, and keeps the triggers.
    """
    if "plan" not in sent or Count._meta.db_table not in connection.introspection.table_names():
        return  # without the table: somebody migrates back
    with connection.cursor() as cursor:
        for statement in list_postgresql_triggers() if sql.is_postgresql() else list_sqlite_triggers():
            cursor.execute(statement)


def list_postgresql_triggers() -> list[str]:
    """Return the statements that create them on PostgreSQL."""
    moves = MOVES.format(slot=slot_sql("NEW.id"))
    return [
        f"""CREATE OR REPLACE FUNCTION eventsinks_count_move() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            {insert_sql(moves)};
            RETURN NULL;
        END $$""",
        # Creating it locks the table for a moment. If the condition changes, so must the name.
        f"""DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_trigger
                WHERE tgname = '{NAME}' AND tgrelid = 'eventsinks_delivery'::regclass) THEN
                CREATE TRIGGER {NAME} AFTER UPDATE OF state ON eventsinks_delivery
                FOR EACH ROW WHEN ({MOVED}) EXECUTE FUNCTION eventsinks_count_move();
            END IF;
        END $$""",
    ]


def list_sqlite_triggers() -> list[str]:
    """Return the statements that create them on SQLite, which has no function that reads hexadecimal digits."""
    digits = [
        f"(instr('0123456789abcdef', substr(NEW.id, {place + 1}, 1)) - 1) * {16 ** (11 - place)}"
        for place in range(12)
    ]
    moves = MOVES.format(slot=f"({' + '.join(digits)}) / {GRAIN * 1000} * {GRAIN}")
    return [
        f"DROP TRIGGER IF EXISTS {NAME}",
        f"""CREATE TRIGGER {NAME} AFTER UPDATE OF state ON eventsinks_delivery WHEN {MOVED}
        BEGIN {UPSERT.format(source=moves)}; END""",
    ]
