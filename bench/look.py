"""The cost of a look at the queue while somebody holds an old snapshot: `python -m bench.look [--deliveries N]`.

It runs on PostgreSQL. Like a dump, it opens a transaction, and then sends so many deliveries of 50 event sinks.
Each look and claim finds one delivery of each sink. "Full looks" are those of a sender without earlier knowledge.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.deliveries import ROOT, database_server, environment_of

SINKS = 50
LOOKS = 15


def main() -> None:
    """Start a database, and measure in another process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=150_000)
    options = parser.parse_args()
    folders = tempfile.TemporaryDirectory(prefix="eventsinks-bench-")
    with folders as folder, database_server("postgresql", Path(folder)) as (_, url):
        environment = environment_of(Path(folder), url, DJANGO_SETTINGS_MODULE="project.settings")
        command = [sys.executable, "-m", "bench.look", "inside", str(options.deliveries)]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)


def inside(deliveries: int) -> None:
    """Make deliveries, open a snapshot, send, and look."""
    from django.core.management import call_command
    from django.db import connection

    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant
    from eventsinks.models import Destination
    from eventsinks.models.delivery import Lookout

    call_command("migrate", verbosity=0)
    tenant = create_tenant("Bench")
    for number in range(SINKS):
        configure.create(tenant, "webhook", {"url": "https://example.com/"}, name=str(number))
    first = Destination.objects.order_by("id").values_list("id", flat=True)[0]
    lookout = Lookout()
    owe(first, SINKS)
    print(f"   fresh      {milliseconds(lookout, first):6.1f} ms", flush=True)
    other = connection.copy()
    with other.cursor() as snapshot:
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM eventsinks_event")
        owe(first, deliveries)
        while send(lookout):
            pass
        print(f"   {deliveries:,} deliveries were sent since a snapshot was taken", flush=True)
        print(f"   known      {milliseconds(lookout, first):6.1f} ms", flush=True)
        print(f"   full looks {milliseconds(None, first):6.1f} ms", flush=True)
    other.close()


def owe(first: int, deliveries: int) -> None:
    """Make so many deliveries due, spread over all sinks."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "WITH event AS (INSERT INTO eventsinks_event (tenant_id, type, key, data, digest, occurred_at)"
            " SELECT (SELECT id FROM eventsinks_tenant LIMIT 1), 'detection_alert', gen_random_uuid()::text,"
            " '{}'::bytea, '0'::bytea, now() FROM generate_series(1, %s) RETURNING id)"
            " INSERT INTO eventsinks_delivery (id, event_id, destination_id, state, tries, reason)"
            " SELECT gen_random_uuid(), id, %s + id %% %s, 'pending', 0, '' FROM event",
            [deliveries, first, SINKS],
        )


def send(lookout, most: int = 16):  # type: ignore[no-untyped-def]
    """Look, claim, and settle as if they were sent. Return how many."""
    from datetime import UTC, datetime

    from uuid_utils import uuid7

    from eventsinks.models.delivery import Settlement, claim, settle

    lanes = lookout.due_lanes(10)
    claimed = claim([(lane, most) for lane in lanes], 60.0) if lanes else []
    lookout.note(claimed)
    at = datetime.now(UTC)
    return settle([Settlement(one, uuid7(), "delivered", "delivered", at) for one in claimed])  # type: ignore[arg-type]


def milliseconds(lookout, first: int) -> float:  # type: ignore[no-untyped-def]
    """Return the median time of a look and a claim. Without a lookout, each is the first of a new sender."""
    from datetime import UTC, datetime

    from uuid_utils import uuid7

    from eventsinks.models.delivery import Lookout, Settlement, claim, settle

    taken = []
    for _ in range(LOOKS):
        time.sleep(0.1)
        owe(first, SINKS)
        current = lookout or Lookout()
        began = time.perf_counter()
        lanes = current.due_lanes(10)
        claimed = claim([(lane, 16) for lane in lanes], 60.0)
        taken.append((time.perf_counter() - began) * 1000)
        assert len(claimed) >= SINKS
        at = datetime.now(UTC)
        settle([Settlement(one, uuid7(), "delivered", "delivered", at) for one in claimed])  # type: ignore[arg-type]
    return statistics.median(taken)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        import django

        django.setup()
        inside(int(sys.argv[2]))
    else:
        main()
