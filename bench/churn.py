"""What the life of a delivery costs PostgreSQL, by fill factor: `python -m bench.churn [--deliveries N]`.

A life is its insert, its claim and its settlement, through the product's own statements, in batches as a busy
worker makes them. It prints, for each delivery, the CPU of the database's process, the bytes of WAL, the share of
updates that touched no index (HOT), and the size of table and indexes at the end, with autovacuum as it is set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.cpu import used
from bench.deliveries import ROOT, database_server, environment_of

FACTORS = (100, 90, 70, 50)
GROUP = 100  # alerts of one POST
BATCH = 400  # deliveries of one claim


def main() -> None:
    """Measure each fill factor on a new database, in another process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=50_000)
    options = parser.parse_args()
    for factor in FACTORS:
        folders = tempfile.TemporaryDirectory(prefix="eventsinks-bench-")
        with folders as folder, database_server("postgresql", Path(folder)) as (_, url):
            environment = environment_of(
                Path(folder), url, DJANGO_SETTINGS_MODULE="project.settings", LOG_LEVEL="WARNING"
            )
            command = [sys.executable, "-m", "bench.churn", "inside", str(factor), str(options.deliveries)]
            subprocess.run(command, env=environment, cwd=ROOT, check=True)


def inside(factor: int, deliveries: int) -> None:
    """Let so many deliveries live, and print what that cost."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant

    call_command("migrate", verbosity=0)
    tenant = create_tenant("Bench")
    configure.create(tenant, "webhook", {"url": "https://example.com/"}, name="one")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE eventsinks_delivery SET (fillfactor = {factor})")
        cursor.execute("SELECT pg_backend_pid(), pg_current_wal_insert_lsn()")
        pid, start = cursor.fetchone()
    began = used([pid])
    for _ in range(0, deliveries, BATCH):
        live(tenant, BATCH)
    cpu = used([pid]) - began
    time.sleep(1)  # until the counts of the statistics are written
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT pg_current_wal_insert_lsn() - %s, n_tup_hot_upd, n_tup_upd, pg_relation_size(relid),
                   pg_indexes_size(relid)
               FROM pg_stat_user_tables WHERE relname = 'eventsinks_delivery'""",
            [start],
        )
        wal, hot, updates, table, indexes = cursor.fetchone()
    print(
        f"   fill factor {factor:3}: {cpu / deliveries * 1e6:5.1f} µs,"
        f" {float(wal) / deliveries:6,.0f} bytes of WAL, {hot / max(1, updates):4.0%} HOT,"
        f" table {table / deliveries:4.0f} and indexes {indexes / deliveries:4.0f} bytes for each",
        flush=True,
    )


def live(tenant: object, number: int) -> None:
    """Accept so many alerts, claim their deliveries, and settle them as delivered."""
    from eventsinks.event_types import event_type
    from eventsinks.intake.accept import Submission, accept_all
    from eventsinks.models.delivery import Lookout, claim, settle
    from eventsinks.sending.judge import make_settlement

    alert = b'{"name": "Root login", "severity": "High", "description": "' + b"x" * 700 + b'"}'
    for _ in range(0, number, GROUP):
        accept_all([Submission(tenant, event_type("detection_alert"), [alert] * GROUP)])  # type: ignore[arg-type]
    lanes = Lookout().due_lanes(10)
    claimed = claim([(lane, number) for lane in lanes], 60.0)
    at = datetime.now(UTC)
    settle([make_settlement(one, at, None, None) for one in claimed])


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        inside(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
