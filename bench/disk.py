"""Disk per million alerts on PostgreSQL: by table and index, after alerts were delivered to one event sink.

    python -m bench.disk DATABASE_URL [--alerts N] [--bytes N]

Name an empty database. The alerts go the real way: accepted in groups, claimed, settled. No request is sent.
Without the sizes of the write-ahead log.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from datetime import UTC, datetime

GROUP = 50  # alerts that are committed together, as the door does under load
SIZES = """
    SELECT c.relname, coalesce(t.relname, ''),
        pg_relation_size(c.oid) + coalesce(pg_table_size(c.reltoastrelid), 0)
    FROM pg_class c
    LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
    WHERE c.relkind IN ('r', 'i') AND c.relname NOT LIKE 'pg_%%' AND c.relnamespace = 'public'::regnamespace
      AND coalesce(t.relname, c.relname) IN ('eventsinks_event', 'eventsinks_delivery', 'eventsinks_attempt')
    ORDER BY coalesce(t.relname, c.relname), t.relname IS NOT NULL, 3 DESC"""


def main() -> None:
    """Deliver the alerts, and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("--alerts", type=int, default=200_000)
    parser.add_argument("--bytes", type=int, default=780)
    options = parser.parse_args()
    import django

    from eventsinks.lib.secrets.crypto import make_key

    os.environ |= {"DATABASE_URL": options.database, "DJANGO_SETTINGS_MODULE": "project.settings"}
    os.environ |= {"SECRET_KEY": "for a benchmark " * 4, "EVENTSINKS_ENCRYPTION_KEYS": make_key()}
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    deliver(options.alerts, options.bytes)
    print_sizes(options.alerts)


def deliver(alerts: int, size: int) -> None:
    """Accept alerts, claim their deliveries and settle them as delivered."""
    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant
    from eventsinks.event_types import event_type
    from eventsinks.intake.accept import accept
    from eventsinks.lib.net.wire import Timings
    from eventsinks.models.delivery import Settlement, claim, find_due_lanes, settle

    tenant = create_tenant("Disk")
    sink = configure.create(tenant, "webhook", {"url": "https://example.com/"}, name="Disk")
    began = time.monotonic()
    for first in range(0, alerts, GROUP):
        documents = [make_alert(number, size) for number in range(first, min(first + GROUP, alerts))]
        accept(tenant, event_type("detection_alert"), documents)
        if first % 1000 and first + GROUP < alerts:
            continue
        at = datetime.now(UTC)
        while claimed := claim([(lane, 1000) for lane in find_due_lanes(12)], 60):
            settle(
                [
                    Settlement(
                        *(one, make_attempt_id(), "delivered", "delivered", at),
                        status=200,
                        excerpt="ok",
                        peer="198.51.100.7",
                        timings=Timings(0.001, 0.002, 0.003, 0.004, 0.005),
                    )
                    for one in claimed
                ]
            )
    print(f"{alerts:,} alerts of {size} bytes to {sink.name} in {time.monotonic() - began:.0f} s")


def make_alert(number: int, size: int) -> bytes:
    """Return an alert of so many bytes."""
    alert = {"id": str(uuid.uuid4()), "name": f"Rule {number % 100} matched", "severity": "High", "text": ""}
    alert["text"] = os.urandom(size).hex()[: size - len(json.dumps(alert))]
    return json.dumps(alert).encode()


def make_attempt_id() -> uuid.UUID:
    """Return the id of an attempt: version 7."""
    from uuid_utils.compat import uuid7

    return uuid7()


def print_sizes(alerts: int) -> None:
    """Print the bytes per million alerts."""
    from eventsinks.models.database import sql

    total = 0
    for name, table, size in sql.fetch_rows(SIZES):
        total += size
        print(f"{'  ' if table else ''}{name:50} {size / alerts * 1e6 / 1e6:8.0f} MB per million")
    print(f"{'together':50} {total / alerts * 1e6 / 1e6:8.0f} MB per million")


if __name__ == "__main__":
    main()
