"""Steps of a benchmark that run in Django: prepare, make-due, send."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from bench.naive import deliver_one  # noqa: E402
from eventsinks.actions import configure  # noqa: E402
from eventsinks.actions.tenants import create_tenant  # noqa: E402
from eventsinks.event_types import event_type  # noqa: E402
from eventsinks.intake import nudge  # noqa: E402
from eventsinks.intake.accept import accept  # noqa: E402
from eventsinks.models import Delivery  # noqa: E402

FAR = datetime(2100, 1, 1, tzinfo=UTC)
LOOK = 1.0  # seconds between two checks whether everything is sent; a check costs the database something too


def prepare(deliveries: str, *ports: str) -> None:
    """Make a tenant with its event sinks, and accept alerts that are not due yet."""
    call_command("migrate", verbosity=0)
    nudge.nudge = lambda: None  # no worker may look before the clock runs
    tenant = create_tenant("Bench")
    for port in ports:
        configure.create(tenant, "webhook", {"url": f"http://127.0.0.1:{port}/"}, name=f"sink {port}")
    filler = b"x" * 950
    alert = b'{"id":"%d","name":"Bench","severity":"High","description":"%s"}'
    alerts = [alert % (number, filler) for number in range(int(deliveries) // len(ports))]
    for start in range(0, len(alerts), 500):
        accept(tenant, event_type("detection_alert"), alerts[start : start + 500])
    Delivery.objects.update(due_at=FAR)


def make_due(count: str) -> None:
    """Make so many deliveries due."""
    some = Delivery.objects.filter(due_at=FAR).order_by("id").values("id")[: int(count)]
    Delivery.objects.filter(id__in=list(some.values_list("id", flat=True))).update(due_at=Now())


def send(design: str) -> None:
    """Nudge the worker, and wait until everything due is delivered."""
    due = Delivery.objects.exclude(due_at=FAR).filter(state__in=["pending", "sending"])
    if design.startswith("naive"):
        for id in due.values_list("id", flat=True):
            deliver_one.delay(str(id))
    else:
        nudge.send_nudge()
    while due.exists():
        time.sleep(LOOK)


if __name__ == "__main__":
    {"prepare": prepare, "make-due": make_due, "send": send}[sys.argv[1]](*sys.argv[2:])
