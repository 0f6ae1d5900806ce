"""Requests at a sink with a large backlog, timed: `python -m bench.backlog [rows]`.

It writes that many pending deliveries for each of three event sinks, and as many failed ones for a fourth, into
the database of the settings, whose data may be lost. Then it makes each request that could touch all of them,
through Django's test client, and prints the milliseconds. It sends nothing.
"""

from __future__ import annotations

import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from eventsinks.actions import configure  # noqa: E402
from eventsinks.actions.tenants import create_tenant, issue_key  # noqa: E402
from eventsinks.intake import nudge  # noqa: E402
from eventsinks.models import Delivery  # noqa: E402

NUMBERS = "generate_series(1, {n}) AS number"
COUNT = "WITH RECURSIVE s(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM s WHERE number < {n})"
ON_SQLITE = f"({COUNT} SELECT * FROM s)"


def main(rows: int) -> None:
    """Write the rows, and print the time of each request."""
    nudge._quiet_until = float("inf")
    settings.ALLOWED_HOSTS = ["*"]
    acme = create_tenant("Acme")
    key = issue_key(acme)[1]
    sinks = [configure.create(acme, "webhook", {"url": "https://example.com/"}, name=f"s{n}") for n in range(4)]
    write_events(acme, rows)
    for sink, state in zip(sinks, ("pending", "pending", "pending", "failed"), strict=True):
        write_deliveries(sink.id, state, rows)
    if connection.vendor == "postgresql":
        run("VACUUM ANALYZE eventsinks_delivery")
    print(f"{connection.vendor}, {rows:,} rows a sink", flush=True)
    api = Client(headers={"Authorization": f"Bearer {key}"})
    person = Client()
    person.force_login(User.objects.create_superuser(f"p{time.time_ns()}", "", "x"))
    ask(api, person, sinks)
    work_off()


def ask(api: Client, person: Client, sinks: list) -> None:
    """Make all requests, in an order in which none gets in the way of a later one."""
    skipped, since, deleted, failed = sinks
    middle = Delivery.objects.filter(destination=since).order_by("-id")[1000].created_at.isoformat()
    old = {"since": "2000-01-01T00:00:00Z"}
    page = f"/admin/eventsinks/eventsink/{skipped.id}"
    timed("GET sink", api.get, f"/v1/event_sink/{skipped.uuid}")
    timed("GET deliveries of the sink", api.get, f"/v1/delivery?event_sink_id={skipped.uuid}")
    timed("admin: first page", person.get, "/admin/")
    timed("admin: list of sinks", person.get, "/admin/eventsinks/eventsink/")
    timed("admin: page of the sink", person.get, f"{page}/change/")
    timed("admin: deliveries of the sink", person.get, f"/admin/eventsinks/delivery/?sink={skipped.id}")
    timed("admin: test of deleting", person.get, f"{page}/delete/")
    timed("admin: pause", person.post, f"{page}/pause/")
    timed("admin: resume with all", person.post, f"{page}/resume/", {"backlog": "all"})
    for sink in sinks:
        timed("POST pause", api.post, f"/v1/event_sink/{sink.uuid}/pause")
    timed("POST resume since", post(api), f"/v1/event_sink/{since.uuid}/resume", {"backlog": {"since": middle}})
    timed("POST resume skip", post(api), f"/v1/event_sink/{skipped.uuid}/resume", {"backlog": "skip"})
    timed("GET sink that is resuming", api.get, f"/v1/event_sink/{skipped.uuid}")
    timed("admin: page of the resuming sink", person.get, f"{page}/change/")
    timed("POST replay, dry run", post(api), f"/v1/event_sink/{failed.uuid}/replay", {**old, "dry_run": True})
    made = timed("POST replay", post(api), f"/v1/event_sink/{failed.uuid}/replay", old)
    timed("GET replay", api.get, f"/v1/replay/{made['replay']['id']}")
    timed("DELETE replay", api.delete, f"/v1/replay/{made['replay']['id']}")
    timed("DELETE sink", api.delete, f"/v1/event_sink/{deleted.uuid}")
    timed("admin: delete", person.post, f"/admin/eventsinks/eventsink/{since.id}/delete/", {"post": "yes"})
    timed("admin: first page", person.get, "/admin/")


def work_off() -> None:
    """Let the sweep finish its work, and print the longest time of its chores and their total."""
    try:
        from eventsinks.actions import clear
        from eventsinks.models import Clearing
    except ImportError:
        return
    took = []
    while Clearing.objects.running().exists():
        began = time.perf_counter()
        clear.work_off_clearings()
        took.append(time.perf_counter() - began)
    print(f"   worked off in {len(took)} sweeps, {sum(took):.1f} s; the longest {max(took, default=0):.2f} s")
    print("  ", {s: Delivery.objects.filter(state=s).count() for s in ("pending", "failed", "suppressed")})


def post(api: Client):
    """Return a function that posts JSON."""
    return lambda path, body: api.post(path, body, content_type="application/json")


def timed(what: str, do, *arguments) -> dict:
    """Make a request, print the milliseconds, and return the JSON of the answer."""
    began = time.perf_counter()
    answer = do(*arguments)
    took = (time.perf_counter() - began) * 1000
    print(f"   {what:<34}{took:>10,.1f} ms   {answer.status_code}", flush=True)
    return answer.json() if "json" in answer.headers.get("Content-Type", "") else {}


def numbers(rows: int) -> str:
    """Return the SQL for the numbers from 1 on."""
    return (NUMBERS if connection.vendor == "postgresql" else ON_SQLITE).format(n=rows)


def write_events(tenant, rows: int) -> None:
    """Write the alerts of the deliveries, with ids from 10,000,001 on."""
    id = f"'{tenant.id}'" if connection.vendor == "postgresql" else f"'{tenant.id.hex}'"
    blob = "'{}'" if connection.vendor == "postgresql" else "x'7b7d'"
    at = "statement_timestamp()" if connection.vendor == "postgresql" else "'2026-01-01 00:00:00'"
    run(
        f"INSERT INTO eventsinks_event (id, tenant_id, type, key, data, digest, occurred_at, owed) "
        f"SELECT 10000000 + number, {id}, 'detection_alert', 'k' || number, {blob}, {blob}, {at}, 3 "
        f"FROM {numbers(rows)}"
    )


def write_deliveries(sink_id: int, state: str, rows: int) -> None:
    """Write one delivery for each alert, a tenth of a second apart, the last one now."""
    ended = "NULL" if state == "pending" else "'2026-01-01 00:00:00'"
    first = int(time.time() * 1000) - rows * 100
    if connection.vendor == "postgresql":
        low = f"lpad(to_hex({sink_id}::bigint << 32 | number), 16, '0')"
        id = f"(lpad(to_hex({first}::bigint + number * 100), 12, '0') || '7000' || {low})::uuid"
        due = f"statement_timestamp() - ({rows} - number) * interval '0.1 second'"
    else:
        id = f"printf('%012x7000%016x', {first} + number * 100, {sink_id} << 32 | number)"
        due = f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (({rows} - number) / 10.0) || ' seconds')"
    run(
        "INSERT INTO eventsinks_delivery (id, event_id, destination_id, state, tries, due_at, reason, settled_at) "
        f"SELECT {id}, 10000000 + number, {sink_id}, '{state}', 0, {due}, '', {ended} FROM {numbers(rows)}"
    )


def run(statement: str) -> None:
    """Run one statement as it is."""
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("%", "%%") if "%" in statement else statement, ())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
