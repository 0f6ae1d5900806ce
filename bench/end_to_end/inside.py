"""Steps that run in Django, in a process of their own: make the tenants, and fill the tables.

    python -m bench.end_to_end.inside FINISHED PENDING PORT ...

It prints the key and the id of each tenant, and the ids of its destinations, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402

from bench.end_to_end.rows import SINKS, TENANTS  # noqa: E402
from bench.fill import fill  # noqa: E402
from eventsinks.actions import configure  # noqa: E402
from eventsinks.actions.silence import make_silence  # noqa: E402
from eventsinks.actions.tenants import create_tenant, issue_key  # noqa: E402
from eventsinks.models import Destination, Tenant  # noqa: E402
from eventsinks.models.limits import MOST  # noqa: E402
from eventsinks.models.options import Options, Quiet, Throttle  # noqa: E402

LIMITS = ("pending_per_sink", "requests_per_s", "alerts_per_s", "events_per_s")
BUCKET = {
    "bucket_name": "bench-bucket",
    "region": "eu-central-1",
    "access_key": "AKIAEXAMPLE",
    "secret_key": "secret",
}
OPTIONS = {
    "filter": Options(filter='severity_id >= 3 && tags.exists(tag, tag.startsWith("tactics."))'),
    "throttle": Options(
        quiet=Quiet(dedup_window_s=None, group=None, throttle=Throttle(limit=100_000, window_s=1))
    ),
}
SILENCES = {"silence": 'name == "Disk full" && user.id != "u-1729"', "silenced": ""}
BODY = b'{"id":"1","name":"Bench","severity":"High","description":"%s"}' % (b"x" * 700)


def prepare(finished: int, pending: int, ports: list[int]) -> dict[str, Any]:
    """Make the tenants, none of which any rate refuses, with their destinations."""
    call_command("migrate", verbosity=0)
    made = {name: prepare_tenant(name, ports) for name in TENANTS}
    fill(Destination.objects.get(tenant_id=made["plain"]["id"]), BODY, finished, "delivered")
    if pending:
        other = create_tenant("Other", limits=dict.fromkeys(LIMITS, MOST))
        url = {"url": f"http://127.0.0.1:{ports[0]}/"}
        fill(configure.create(other, "webhook", url, name="other"), BODY, pending, "pending", due_in_days=1)
    return made


def prepare_tenant(name: str, ports: list[int]) -> dict[str, Any]:
    """Make one tenant and what it is named after."""
    tenant = create_tenant(f"Bench {name}", limits=dict.fromkeys(LIMITS, MOST))
    _, key = issue_key(tenant)
    made = list(make_destinations(tenant, name, ports))
    if name in SILENCES:
        until = datetime.now(UTC) + timedelta(days=1)
        make_silence(tenant, reason="bench", author="bench", ends_at=until, filter=SILENCES[name])
    return {"key": key, "id": str(tenant.id), "destinations": [one.id for one in made]}


def make_destinations(tenant: Tenant, name: str, ports: list[int]) -> list[Destination]:
    """Make the event sinks of a tenant, or its integration."""
    if name == "bulk":
        return []
    if name == "s3":
        return [configure.create(tenant, "s3", BUCKET, name="bucket")]
    sinks = ports[: SINKS if name == "ten" else 1]
    options = OPTIONS.get(name)
    return [
        configure.create(
            tenant, "webhook", {"url": f"http://127.0.0.1:{port}/"}, name=f"sink {port}", options=options
        )
        for port in sinks
    ]


if __name__ == "__main__":
    print(json.dumps(prepare(int(sys.argv[1]), int(sys.argv[2]), [int(port) for port in sys.argv[3:]])))
