"""What deletion by age costs on PostgreSQL: rows a second, the latency of a request beside it, and the disk.

    python -m bench.retain DATABASE_URL [--events N]

Name an empty database. It writes so many old alerts, each with a delivery and an attempt, and lets the sweep
delete them. Meanwhile, one alert after another is accepted. Then as many are written again: they should need no
new disk. The deletion runs without a pause; in a worker, each sweep gives it half a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable

from bench.disk import make_alert

PAUSE = 0.02  # seconds between two alerts that are accepted meanwhile
AGE = "UPDATE eventsinks_event SET received_at = now() - interval '100 day' WHERE id > %s AND id <= %s"
TABLES = ("event", "delivery", "attempt")
CHUNK = 50_000


def main() -> None:
    """Fill the tables, delete, fill them again; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    import django

    from eventsinks.lib.secrets.crypto import make_key

    os.environ |= {"DATABASE_URL": options.database, "DJANGO_SETTINGS_MODULE": "project.settings"}
    os.environ |= {"SECRET_KEY": "for a benchmark " * 4, "EVENTSINKS_ENCRYPTION_KEYS": make_key()}
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    run(options.events)


def run(number: int) -> None:
    """Measure, with so many events."""
    from bench.fill import fill
    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant
    from eventsinks.models import Event, RetentionWalk
    from eventsinks.sweeping import retain

    tenant = create_tenant("Retain")
    sink = configure.create(tenant, "webhook", {"url": "https://example.com/"}, name="Retain")
    quiet = create_tenant("Quiet")

    def refill() -> None:
        newest = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
        fill(sink, make_alert(0, 780), number, "delivered")
        last = Event.objects.order_by("-id").values_list("id", flat=True)[0]
        for start in range(newest, last, CHUNK):
            execute(AGE, [start, start + CHUNK])
        for table in TABLES:
            execute(f"VACUUM ANALYZE eventsinks_{table}")

    refill()
    print_sizes(f"{number:,} events")
    print_latency("alone", accept_meanwhile(quiet, lambda: time.sleep(15)))
    took = 0.0

    def delete() -> None:
        nonlocal took
        began, cpu = time.monotonic(), time.process_time()
        while Event.objects.filter(tenant=tenant, type="detection_alert").exists():
            RetentionWalk.objects.filter(tenant=tenant, name="detection_alert").update(
                due_at="2020-01-01T00:00:00Z"
            )
            retain.retain()
        took = time.monotonic() - began
        print(f"deleted in {took:.0f} s with {time.process_time() - cpu:.0f} s of CPU in this process")

    latencies = accept_meanwhile(quiet, delete)
    print(f"{number / took:,.0f} events a second, {3 * number / took:,.0f} rows a second")
    print_latency("beside the deletion", latencies)
    for table in TABLES:
        execute(f"VACUUM eventsinks_{table}")
    print_sizes("after deletion and VACUUM")
    refill()
    print_sizes("filled again")


def accept_meanwhile(tenant: object, do: Callable[[], None]) -> list[float]:
    """Accept one alert after another while `do` runs. Return the seconds of each."""
    from django.db import connection

    from eventsinks.event_types import event_type
    from eventsinks.intake.accept import accept

    ended, found = threading.Event(), list[float]()

    def take_in() -> None:
        while not ended.wait(PAUSE):
            began = time.monotonic()
            accept(tenant, event_type("detection_alert"), [make_alert(len(found), 780)])  # type: ignore[arg-type]
            found.append(time.monotonic() - began)
        connection.close()

    thread = threading.Thread(target=take_in)
    thread.start()
    do()
    ended.set()
    thread.join()
    return found


def print_latency(when: str, seconds: list[float]) -> None:
    """Print percentiles."""
    cuts = statistics.quantiles(seconds, n=100)
    p50, p99 = cuts[49] * 1e3, cuts[98] * 1e3
    print(f"an alert is accepted, {when}: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(seconds)})")


def print_sizes(when: str) -> None:
    """Print the bytes of each table with its indexes."""
    from eventsinks.models.database import sql

    sizes = [sql.fetch_rows(f"SELECT pg_total_relation_size('eventsinks_{table}')")[0][0] for table in TABLES]
    told = ", ".join(f"{table} {size / 1e6:,.0f} MB" for table, size in zip(TABLES, sizes, strict=True))
    print(f"{when}: {told}; together {sum(sizes) / 1e6:,.0f} MB", flush=True)


def execute(statement: str, parameters: list[int] | None = None) -> None:
    """Run one statement."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(statement, parameters)


if __name__ == "__main__":
    main()
