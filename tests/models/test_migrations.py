"""No migration holds a lock for long or breaks the processes of the version before: its SQL is read.

An old process goes on with the new tables, and tables may have a hundred million rows. What may be done to a table
that was there: add a column that is null or has a default of the database, add a constraint that is not validated,
build or drop an index concurrently. Whatever reads or writes rows is not in a transaction.

Squawk knows such rules too; these are the few that we need, and they know which tables are small or new.
"""

import importlib
import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations import RunPython

from eventsinks import migrations

# Before 0.2.0 nobody had tables to upgrade.
EXEMPT_UNTIL = "0029_replays_of_both_faces"
NAMES = sorted(path.stem for path in Path(migrations.__path__[0]).glob("0*.py") if path.stem > EXEMPT_UNTIL)
# Tables of which a tenant has some hundred rows: what reads all of them is done in a moment.
SMALL = {
    f"eventsinks_{name}" for name in ("apikey", "destination", "position", "silence", "slackworkspace", "tenant")
}
# Python that a migration runs in its transaction, and why it ends soon.
QUICK = {
    "0033_search make_index": "of a table that is new",
    "0033_search begin_here": "it looks at the end of an index, and writes one row of a table that is new",
    "0034_counts clean_often": "it sets parameters of storage",
}
VOLATILE = r"\b(random|clock_timestamp|timeofday|gen_random_uuid|uuid\w*|nextval)\s*\("
# What is wrong with a statement on a table that was there, by a pattern of it.
BREAKS = {
    "old processes leave it out": r"ADD COLUMN (?!.* DEFAULT ).* NOT NULL|COLUMN \S+ (DROP DEFAULT|SET NOT NULL)",
    "old processes use it": r"\b(DROP|RENAME) (COLUMN|TABLE|TO|CONSTRAINT)|\bRENAME \S+ TO|COLUMN \S+ TYPE",
    "it holds its lock by its nature": r"\b(TRUNCATE|CLUSTER|VACUUM FULL|LOCK TABLE)\b|SET (LOGGED|UNLOGGED)",
}
LONG = {
    "it rewrites the table": rf"ADD COLUMN .*( DEFAULT .*{VOLATILE}|\bSERIAL|\bGENERATED\b)",
    "it reads the table with a lock": r"ADD COLUMN .*(REFERENCES|CHECK|UNIQUE)|ADD CONSTRAINT (?!.*NOT VALID)",
    "nobody writes while it is built": r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)|\bREINDEX (?!.*CONCURRENTLY)",
}
LONG_IN_A_TRANSACTION = {
    "it writes rows in the transaction of the migration": r"^(UPDATE|DELETE|INSERT)\b",
    "it reads the whole table in the transaction of the migration": r"VALIDATE CONSTRAINT",
}


def find_faults(statements, atomic=True):
    """Return pairs of a statement and what is wrong with it."""
    made = {name for one in statements for name in re.findall(r'^CREATE TABLE "?(\w+)', one)}
    found = []
    for one in statements:
        tables = set(re.findall(r'(?:TABLE|\bON|^UPDATE|\bFROM|\bINTO) "?(\w+)', one))
        if not made & tables:
            rules = BREAKS if SMALL & tables else BREAKS | LONG | (LONG_IN_A_TRANSACTION if atomic else {})
            found += [(one, why) for why, rule in rules.items() if re.search(rule, one, re.IGNORECASE)]
    return found


def read_statements(name):
    """Return the SQL of a migration, a statement each."""
    said = io.StringIO()
    call_command("sqlmigrate", "eventsinks", name, stdout=said)
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("--")]
    return [one for one in lines if one not in ("BEGIN;", "COMMIT;")]


def find_python(operations):
    """Return the operations that run Python when they go forward."""
    found = []
    for operation in operations:
        found += find_python(getattr(operation, "database_operations", []))
        if isinstance(operation, RunPython) and operation.code is not RunPython.noop:
            found.append(operation)
    return found


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer and one lock")
@pytest.mark.parametrize("name", NAMES)
def test_a_migration_holds_no_lock_for_long_and_leaves_the_old_version_at_work(name, transactional_db):
    migration = importlib.import_module(f"eventsinks.migrations.{name}").Migration
    assert find_faults(read_statements(name), migration.atomic) == []


@pytest.mark.parametrize("name", NAMES)
def test_python_of_a_migration_runs_in_no_transaction_or_is_known_to_end_soon(name):
    migration = importlib.import_module(f"eventsinks.migrations.{name}").Migration
    python = {f"{name} {operation.code.__name__}" for operation in find_python(migration.operations)}
    assert not migration.atomic or python <= QUICK.keys()


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "t" ADD COLUMN "a" integer NOT NULL;',
        'ALTER TABLE "t" ADD COLUMN "a" uuid DEFAULT gen_random_uuid() NOT NULL;',
        'ALTER TABLE "t" ADD COLUMN "a" bigint GENERATED ALWAYS AS (b + 1) STORED DEFAULT 1;',
        'ALTER TABLE "t" ADD COLUMN "a" integer NULL CONSTRAINT "f" REFERENCES "o" ("id");',
        'ALTER TABLE "t" ADD COLUMN "a" integer DEFAULT 1 NOT NULL CHECK ("a" >= 0);',
        'ALTER TABLE "t" ALTER COLUMN "a" DROP DEFAULT;',
        'ALTER TABLE "t" ALTER COLUMN "a" TYPE bigint USING "a"::bigint;',
        'ALTER TABLE "t" ALTER COLUMN "a" SET NOT NULL;',
        'ALTER TABLE "t" ADD CONSTRAINT "c" CHECK ("a" > 0);',
        'ALTER TABLE "t" ADD CONSTRAINT "c" UNIQUE ("a");',
        'ALTER TABLE "t" VALIDATE CONSTRAINT "c";',
        'CREATE INDEX "i" ON "t" ("a");',
        'CREATE UNIQUE INDEX "i" ON "t" ("a") WHERE "b";',
        'ALTER TABLE "t" DROP COLUMN "a" CASCADE;',
        'ALTER TABLE "t" RENAME COLUMN "a" TO "b";',
        'ALTER TABLE "t" RENAME TO "u";',
        'DROP TABLE "t" CASCADE;',
        'UPDATE "t" SET "a" = 1 WHERE "a" IS NULL;',
        'TRUNCATE "t";',
    ],
)
def test_what_holds_a_lock_or_breaks_the_old_version_is_seen(statement):
    assert find_faults([statement])
    assert find_faults(['CREATE TABLE "o" ("id" bigint);', statement])


@pytest.mark.parametrize(
    "statements",
    [
        ['ALTER TABLE "t" ADD COLUMN "a" integer DEFAULT 0 NOT NULL;'],
        ['ALTER TABLE "t" ADD COLUMN "a" text NULL;'],
        ['ALTER TABLE "t" ADD CONSTRAINT "c" CHECK ("a" > 0) NOT VALID;'],
        ['CREATE INDEX CONCURRENTLY "i" ON "t" ("a");'],
        ['DROP INDEX CONCURRENTLY IF EXISTS "i";'],
        [
            'CREATE TABLE "t" ("id" bigint NOT NULL);',
            'CREATE INDEX "i" ON "t" ("id");',
            'ALTER TABLE "t" ADD CONSTRAINT "f" FOREIGN KEY ("o_id") REFERENCES "o" ("id") DEFERRABLE;',
        ],
    ],
)
def test_what_harms_nobody_is_no_fault(statements):
    assert find_faults(statements) == []


def test_small_tables_may_be_read_and_no_table_may_break_old_processes():
    index = 'CREATE INDEX "i" ON "eventsinks_{}" ("a");'
    assert find_faults([index.format("destination")]) == []
    assert find_faults([index.format("event")])
    assert find_faults(['ALTER TABLE "eventsinks_destination" ADD COLUMN "a" integer NOT NULL;'])


def test_rows_may_be_written_where_each_statement_is_a_transaction():
    assert find_faults(['UPDATE "t" SET "a" = 1;'], atomic=False) == []
