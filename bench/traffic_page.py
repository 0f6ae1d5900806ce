"""Milliseconds for a page of GET /api/events/network-traffic: `python -m bench.traffic_page [--events N]`.

It puts flows of one tenant, spread over 30 days and 2,000 peers, into PostgreSQL by SQL: into a new database that
is deleted afterwards, or an empty one in --database-url. Then it asks the view for pages of 1,000: whole requests,
from the check of the key to the last byte of JSON. The tables are unlogged: they fill faster, and reading costs
the same.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from bench.deliveries import ROOT, database_server, environment_of

GOAL = 200.0  # milliseconds
TABLES = ("eventsinks_event", "eventsinks_networktraffic", "eventsinks_trafficterm")
CHUNK = 250_000  # rows a statement
PEERS = 2_000
DAYS = 30
# A factor coprime to the number of peers spreads each peer's flows over the whole time.
NUMBERS = f"n * 7919 % {PEERS} AS s, abs(hashint8(n)::bigint) % {PEERS} AS d, n * 31 % 500 AS u"
FLOW = (
    '{"id":"flow-%1$s","flow_id":"00000000-0000-4000-8000-%1$s","reporter_id":"peer-%2$s",'
    '"source":{"id":"peer-%2$s","type":"PEER","name":"laptop-%2$s","os":"Linux 6.1 x86_64",'
    '"address":"100.64.%5$s.7:51234","dns_label":"laptop-%2$s.netbird.cloud",'
    '"geo_location":{"city_name":"Berlin","country_code":"DE"}},'
    '"destination":{"id":"peer-%3$s","type":"PEER","name":"server-%3$s","os":"Debian GNU/Linux 12",'
    '"address":"100.65.%5$s.9:5432","dns_label":"server-%3$s.netbird.cloud",'
    '"geo_location":{"city_name":"Frankfurt am Main","country_code":"DE"}},'
    '"user":{"id":"user-%4$s","email":"user-%4$s@example.com","name":"User %4$s"},'
    '"policy":{"id":"ch8i4ug6lnn4g9hqv7m0","name":"Laptops reach the database servers"},'
    '"protocol":6,"direction":"EGRESS","connection_type":"P2P","rx_bytes":123456,"rx_packets":120,'
    '"tx_bytes":34567,"tx_packets":210,"num_of_starts":1,"num_of_ends":1,"num_of_drops":0,'
    '"events":[{"type":"TYPE_START","timestamp":"2026-01-01T00:00:00.123456Z"},'
    '{"type":"TYPE_END","timestamp":"2026-01-01T00:00:05.123456Z"}]}'
)
AT = f"now() - interval '{DAYS} days' + n * interval '{DAYS} days' / {{events}}"
EVENTS = f"""INSERT INTO eventsinks_event (id, tenant_id, type, key, data, digest, occurred_at, received_at, xid)
    SELECT n, '{{tenant}}', 'network_traffic', 'flow-' || n,
           convert_to(format('{FLOW.replace("%", "%%")}', lpad(n::text, 12, '0'), s, d, u, s % 250), 'UTF8'),
           '\\x00', {AT}, {AT}, 0
    FROM (SELECT n, {NUMBERS.replace("%", "%%")} FROM generate_series(%s::bigint, %s) AS n) AS made""".replace(
    "s % 250", "s %% 250"
)
# 19 flows of 20 are TCP, the others UDP. One of 50 is dropped, the others start and end. The rest varies.
SHAPE = (
    "((CASE WHEN n %% 20 = 0 THEN 17 ELSE 6 END) << 8) | ((CASE WHEN n %% 50 = 7 THEN 8 ELSE 6 END) << 4)"
    " | ((1 + n %% 2) << 2) | (CASE WHEN n %% 3 = 0 THEN 2 ELSE 1 END)"
)
# The terms of a flow: its field, how the term is made, and the number of values.
TERMS = [
    ("u", "'user-' || {} || '@example.com'", 500),
    ("s", "'laptop-' || {}", PEERS),
    ("s %% 250", "'100.64.' || {} || '.7'", 250),
    ("51234", "':' || {}", 65_536),
    ("d", "'server-' || {}", PEERS),
    ("s %% 250", "'100.65.' || {} || '.9'", 250),
    ("5432", "':' || {}", 65_536),
]
NUMBER = "('x' || substr(md5('{{tenant}}' || {}), 1, 16))::bit(64)::bigint"
ALL_TERMS = "INSERT INTO eventsinks_trafficterm (number, tenant_id, text) " + " UNION ".join(
    f"SELECT {NUMBER.format(text.format('n'))}, '{{{{tenant}}}}'::uuid, {text.format('n')} "
    f"FROM generate_series(0, {most} - 1) AS n"
    for _, text, most in TERMS
)
ROWS = f"""INSERT INTO eventsinks_networktraffic
        (event_id, tenant_id, occurred_at, user_id, reporter_id, source_id, destination_id, shape, search, terms)
    SELECT n, '{{tenant}}', {AT}, 'user-' || u, 'peer-' || s, 'peer-' || s, 'peer-' || d, {SHAPE},
           format(E'user-%%s@example.com\\nlaptop-%%s\\n100.64.%%s.7:51234\\nserver-%%s\\n100.65.%%s.9:5432',
                  u, s, s %% 250, d, s %% 250),
           ARRAY[{", ".join(NUMBER.format(text.format(f"({of})")) for of, text, _ in TERMS)}]
    FROM (SELECT n, {NUMBERS.replace("%", "%%")} FROM generate_series(%s::bigint, %s) AS n) AS made"""


def main() -> None:
    """Prepare and fill a database, make the requests, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=7, help="of each question; the median counts")
    parser.add_argument("--database-url", help="an empty PostgreSQL; by default one that is thrown away")
    parser.add_argument("inside", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.events, options.calls)
        return
    with tempfile.TemporaryDirectory(prefix="eventsinks-bench-") as folder:
        given = options.database_url
        server = nullcontext(([], given)) if given else database_server("postgresql", Path(folder))
        with server as (_, url):
            environment = environment_of(Path(folder), url, DJANGO_SETTINGS_MODULE="project.settings")
            command = [sys.executable, "-m", "bench.traffic_page", "inside"]
            arguments = ["--events", str(options.events), "--calls", str(options.calls)]
            subprocess.run([*command, *arguments], env=environment, cwd=ROOT, check=True)


def inside(events: int, calls: int) -> None:
    """Fill the database, and measure each query."""
    import django

    django.setup()
    from django.core.management import call_command

    from eventsinks.actions.tenants import create_tenant, issue_key
    from eventsinks.models import Event

    call_command("migrate", verbosity=0)
    tenant = create_tenant("Bench")
    key = issue_key(tenant)[1]
    Event.objects.all().delete()  # those that record the tenant and the key: we choose the ids
    fill(tenant.id, events)
    measure(key, questions(events), calls)


def measure(key: str, asked: list[tuple[str, dict[str, object]]], calls: int) -> None:
    """Print the table of these queries."""
    print("   question                                        ms  goal 200   counted", flush=True)
    for name, query in asked:
        took, counted = ask(key, query, calls)
        met = "met" if took < GOAL else "missed"
        print(f"   {name:42} {took:>8,.0f}  {met:8} {counted:>9}", flush=True)


def fill(tenant: object, events: int) -> None:
    """Write the events and their rows, then the indexes: this is faster than both at once."""
    from eventsinks.models.database import sql

    started = time.monotonic()
    indexes = taken_away()
    for statement in (EVENTS, ROWS):
        statement = statement.replace("{tenant}", str(tenant)).replace("{events}", str(events))
        for first in range(1, events + 1, CHUNK):
            run(statement, [first, min(first + CHUNK - 1, events)])
        print(f"   rows written: {time.monotonic() - started:,.0f} s", flush=True)
    run(ALL_TERMS.replace("{tenant}", str(tenant)))
    run("SET maintenance_work_mem = '1GB'")
    for statement in indexes:
        run(statement.replace("%", "%%"))
    for table in TABLES:
        run(f"VACUUM ANALYZE {table}")
    run("RESET maintenance_work_mem")
    ((table, index, buffers, version, size),) = sql.fetch_rows(
        f"""SELECT pg_size_pretty({" + ".join(f"pg_table_size('{table}')" for table in TABLES)}),
                   pg_size_pretty({" + ".join(f"pg_indexes_size('{table}')" for table in TABLES)}),
                   current_setting('shared_buffers'), current_setting('server_version'),
                   (SELECT avg(length(data))::int FROM eventsinks_event WHERE id <= 1000)"""
    )
    print(
        f"== {events:,} flows of {size} bytes, PostgreSQL {version}, {buffers} of shared buffers; tables {table}, "
        f"indexes {index}; filled in {time.monotonic() - started:,.0f} s",
        flush=True,
    )


def taken_away() -> list[str]:
    """Drop the tables' indexes. Return the statements that create them again."""
    from eventsinks.models.database import sql

    again = []
    for table in TABLES:
        keys = sql.fetch_rows(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
            [table],
        )
        for name, definition in keys:
            run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for name, definition in sql.fetch_rows(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table]
        ):
            run(f"DROP INDEX {name}")
            again.append(definition)
        run(f"ALTER TABLE {table} SET UNLOGGED")
    return again


def run(statement: str, parameters: list[object] | None = None) -> None:
    """Run one statement."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or [])


def questions(events: int) -> list[tuple[str, dict[str, object]]]:
    """Return the queries with their names."""
    from datetime import timedelta

    from django.utils import timezone

    last = min(events, 100_000) // 1000
    ago = {days: (timezone.now() - timedelta(days=days)).isoformat() for days in (10, 9, 1)}
    return [
        ("no filter", {}),
        ("the page in the middle", {"page": last // 2}),
        ("the last page that can be reached", {"page": last}),
        ("user_id", {"user_id": "user-7"}),
        ("reporter_id", {"reporter_id": "peer-7"}),
        ("source_id", {"source_id": "peer-7"}),
        ("destination_id", {"destination_id": "peer-7"}),
        ("source_id and destination_id", {"source_id": "peer-7", "destination_id": "peer-9"}),
        ("source_id and protocol", {"source_id": "peer-7", "protocol": "tcp"}),
        ("source_id, since a day", {"source_id": "peer-7", "start_date": ago[1]}),
        ("user_id that there is not", {"user_id": "nobody"}),
        ("protocol", {"protocol": "udp"}),
        ("type", {"type": "TYPE_DROP"}),
        ("direction", {"direction": "INGRESS"}),
        ("connection_type", {"connection_type": "ROUTED"}),
        (
            "protocol, type, direction, connection_type",
            {
                "protocol": 17,
                "type": "TYPE_START",
                "direction": "INGRESS",
                "connection_type": "P2P",
            },
        ),
        ("protocol that there is not", {"protocol": 132}),
        ("since a day", {"start_date": ago[1]}),
        ("a day, ten days ago", {"start_date": ago[10], "end_date": ago[9]}),
        ("until ten days ago", {"end_date": ago[10]}),
        ("a day and a direction", {"start_date": ago[10], "end_date": ago[9], "direction": "EGRESS"}),
        ("search: a name that 555 of 10,000 have", {"search": "laptop-7"}),
        ("search: an email that 220 of 10,000 have", {"search": "user-7"}),
        ("search: a name that 55 of 10,000 have", {"search": "laptop-77"}),
        ("search: an email that 20 of 10,000 have", {"search": "user-77@example.com"}),
        ("search: a name that 5 of 10,000 have", {"search": "laptop-777"}),
        ("search: an address", {"search": "100.64.77.7"}),
        ("search: an address and a port", {"search": "100.65.77.9:5432"}),
        ("search: a port that every flow has", {"search": "5432"}),
        ("search: a part of what every flow has", {"search": "e"}),
        ("search: what none has", {"search": "nowhere"}),
        ("search, since a day", {"search": "laptop-7", "start_date": ago[1]}),
        ("search and a destination", {"search": "laptop-7", "destination_id": "peer-9"}),
        ("search, page 5", {"search": "laptop-7", "page": 5}),
    ]


def ask(key: str, query: dict[str, object], calls: int) -> tuple[float, str]:
    """Return the median milliseconds of a request, not counting the first one, and the total in the answer."""
    from django.test import Client

    client, took = Client(headers={"authorization": f"Bearer {key}", "host": "localhost"}), []
    for _ in range(calls + 1):
        started = time.perf_counter()
        answer = client.get("/api/events/network-traffic", {"page_size": 1000, **query})
        took.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.content
        if took[0] > 10 * GOAL and len(took) > 3:  # a slow query is repeated less often
            break
    told = answer.json()
    return statistics.median(took[1:]), f"{told['total_records']:,}{'+' if told['total_capped'] else ''}"


if __name__ == "__main__":
    main()
