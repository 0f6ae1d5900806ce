"""Events per CPU-second of a streaming worker, and what a stream writes: `python -m bench.streams [--most N]`.

It puts flows of network traffic into the log by SQL, up to 10,000, and then ten times more each round up to
--most. One process streams the new flows of a round into S3 and into Datadog, over cheap far ends whose cost does
not count. If the cost of a stream grew with the log, the last rows of the table would show it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.deliveries import database_server, environment_of, program

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"region": "eu-central-1", "access_key": "AKIAEXAMPLE", "secret_key": "secret"}
WRITTEN = ("batch", "position", "delivery", "attempt")
FLOW = (
    '{"flow_id":"\' || n || \'","reporter_id":"peer-7","timestamp":"2026-01-01T00:00:00Z","protocol":6,'
    '"direction":"EGRESS","source":{"id":"p1","name":"laptop","address":"100.64.0.7:51234","type":"PEER"},'
    '"destination":{"id":"p2","name":"db","address":"100.64.0.9:5432","type":"PEER"},'
    '"user":{"id":"u1","email":"ada@example.com","name":"Ada"},"policy":{"id":"pol","name":"default"},'
    '"rx_bytes":1200,"rx_packets":12,"tx_bytes":3400,"tx_packets":21,'
    '"events":[{"type":"TYPE_START","timestamp":"2026-01-01T00:00:00Z"}]}'
)


def main() -> None:
    """Measure on each database and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    for name in ["postgresql", "sqlite"] if options.database == "both" else [options.database]:
        print(f"== {name}: events streamed per CPU-second of the worker, flows of {len(FLOW)} bytes", flush=True)
        with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as folder:
            var = Path(folder)
            with (
                database_server(name, var) as (_, url),
                program("bench.receiver", "2", environment=dict(os.environ), stdout=subprocess.PIPE) as receiver,
            ):
                assert receiver.stdout
                ports = [port.decode() for port in receiver.stdout.readline().split()]
                environment = environment_of(
                    var,
                    url,
                    EVENTSINKS_ALLOWED_NETWORKS="127.0.0.1/32",
                    AWS_ENDPOINT_URL=f"http://127.0.0.1:{ports[0]}",
                    DJANGO_SETTINGS_MODULE="project.settings",
                )
                command = [sys.executable, "-m", "bench.streams", "inside", str(options.most), *ports]
                subprocess.run(command, env=environment, cwd=ROOT, check=True)


def inside(most: int, ports: list[str]) -> None:
    """Prepare, and measure each size of the log."""
    import django

    django.setup()
    from django.core.management import call_command

    from eventsinks.actions import configure
    from eventsinks.actions.tenants import create_tenant
    from eventsinks.intake import nudge
    from eventsinks.lib.net.aws import AwsKeys, make_client
    from eventsinks.models.stream import find_end_of_log
    from eventsinks.tasks import look_for_garbage_less

    call_command("migrate", verbosity=0)
    nudge.nudge = lambda *_: None
    configure.nudge = lambda *_: None
    tenant = create_tenant("Bench")
    datadog = {"api_key": "k", "api_url": f"http://127.0.0.1:{ports[1]}/api/v2/logs"}
    make_client(
        "s3", KEYS["region"], AwsKeys("k", "s"), "http://127.0.0.1:1", None
    )  # boto3's start is not counted
    look_for_garbage_less()
    there, size, rows = 0, 10_000, []
    while there < most:
        size = min(size, most)
        place = find_end_of_log()
        insert(tenant, there, size)
        for type_, config in (("s3", {"bucket_name": "bench-bucket", **KEYS}), ("datadog", datadog)):
            integration = configure.create(tenant, type_, config, name=type_, start=place)
            rows.append((size, *measure(integration, size - there)))
        there, size = size, size * 10
    tell(rows)


def tell(rows: list[tuple]) -> None:
    """Print the table: the length of the log, and the cost and the writes of each event of the round."""
    print("   log        into     events/CPU-s  rows/event  bytes/event")
    for size, type_, rate, wrote, grown in rows:
        print(f"   {size:<10,} {type_:8} {rate:>12,.0f} {wrote:>11.5f} {grown:>12.2f}")
    for type_ in ("s3", "datadog"):
        rates = [rate for _, other, rate, _, _ in rows if other == type_]
        print(f"   {type_}: the largest log at {rates[-1] / rates[0]:.2f} of the smallest's rate", flush=True)


def insert(tenant, there: int, size: int) -> None:
    """Put flows into the log, as if received a while ago."""
    from django.db import connection

    postgresql = connection.vendor == "postgresql"
    numbers = (
        "generate_series(%s, %s) AS n"
        if postgresql
        else (
            "(WITH RECURSIVE c(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM c WHERE n < %s) SELECT n FROM c) AS c"
        )
    )
    as_bytes = f"convert_to('{FLOW}', 'UTF8')" if postgresql else f"CAST('{FLOW}' AS BLOB)"
    ago = "now() - interval '1 hour'" if postgresql else "datetime('now', '-1 hour')"
    xid = "pg_current_xact_id()::text::bigint" if postgresql else "0"
    digest = "'\\x00'::bytea" if postgresql else "x'00'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO eventsinks_event (tenant_id, type, key, data, digest, occurred_at, received_at, xid)
                SELECT %s, 'network_traffic', n, {as_bytes}, {digest}, {ago}, {ago}, {xid} FROM {numbers}""",
            [tenant.id if postgresql else tenant.id.hex, there + 1, size],
        )
        if postgresql:
            cursor.execute("VACUUM ANALYZE eventsinks_event")


def measure(integration, count: int) -> tuple[str, float, float, float]:
    """Stream everything. Print and return the rate, and the rows and bytes written for each event."""
    from django.conf import settings

    from eventsinks.lib.net.addresses import AddressGuard
    from eventsinks.lib.net.http import Outlet
    from eventsinks.models import Batch, Position
    from eventsinks.streaming.streamer import stream

    outlet = Outlet(AddressGuard(settings.EVENTSINKS_ALLOWED_NETWORKS), settings.EVENTSINKS_TIMEOUT)
    before, bytes_before = table_sizes(), table_bytes()
    started, cpu = time.monotonic(), time.process_time()
    stream(integration.id, outlet)
    spent, took = time.process_time() - cpu, time.monotonic() - started
    outlet.close()
    sent = Position.objects.get(destination_id=integration.id).sent_events
    assert sent >= count, f"{sent} of {count}: {Batch.objects.filter(state='open').values('reason', 'status')}"
    wrote = sum(table_sizes().values()) - sum(before.values())
    grown = table_bytes() - bytes_before
    print(
        f"   {integration.type:8} {count:>9,} events: {count / spent:>7,.0f} per CPU-second, {took:6.1f} s; "
        f"{wrote:,} rows ({wrote / count:.5f} an event), {grown / count:.2f} bytes an event",
        flush=True,
    )
    return integration.type, count / spent, wrote / count, grown / count


def table_sizes() -> dict[str, int]:
    """Return the number of rows of each table that a stream may write to."""
    from eventsinks.models import Attempt, Batch, Delivery, Position

    return {model._meta.db_table: model.objects.count() for model in (Batch, Position, Delivery, Attempt)}


def table_bytes() -> int:
    """Return the size of those tables on disk, with their indexes."""
    from django.db import connection

    names = [f"eventsinks_{name}" for name in WRITTEN]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name", [names]
            )
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT (SELECT * FROM pragma_page_count()) * (SELECT * FROM pragma_page_size())")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        inside(int(sys.argv[2]), sys.argv[3:])
    else:
        main()
