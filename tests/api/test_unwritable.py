"""A database that can't be written: every door says so, takes nothing, and works again afterwards by itself."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client

from eventsinks import tasks
from eventsinks.actions import configure
from eventsinks.event_types import event_type
from eventsinks.models import Delivery, Destination, Event, Tenant
from eventsinks.models.database import unavailable
from eventsinks.models.database.unavailable import FULL, READ_ONLY
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)

ALERT = {"name": "Root login", "severity": "High"}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
DOORS = {
    "/v1/detection_alert": ALERT,
    "/api/events/audit": event_type("audit").examples[0],
    "/api/events/network-traffic": event_type("network_traffic").examples[0],
    "/v1/silence": {"reason": "why", "author": "Ann", "ends_at": TOMORROW},
}


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


@contextlib.contextmanager
def read_only():
    """Let nobody write, as on a primary that was demoted."""
    if connection.vendor == "postgresql":
        run("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    else:
        run("PRAGMA query_only = 1")
    try:
        yield
    finally:
        if connection.vendor == "postgresql":
            run("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        else:
            run("PRAGMA query_only = 0")


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch):
    monkeypatch.setattr(unavailable, "_unwritable", ("", 0.0))
    monkeypatch.setattr(unavailable, "_told", {})
    cache.clear()


@pytest.mark.parametrize("path", DOORS)
def test_every_door_says_that_the_database_is_read_only_and_takes_again_afterwards(acme, acme_key, path):
    caller = Caller(acme_key)
    before = Event.objects.count()
    with read_only():
        answer = caller.post(path, DOORS[path])
        ready = Client().get("/readyz")
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert READ_ONLY in answer.content.decode()
    assert (ready.status_code, ready.json()["database"]) == (503, READ_ONLY)
    assert Event.objects.count() == before
    assert caller.post(path, DOORS[path]).status_code in (200, 201)


def test_what_only_reads_is_answered_while_nothing_can_be_written(acme_key, make_alert):
    make_alert()
    with read_only():
        assert Caller(acme_key).get("/v1/detection_alert").status_code == 200


def test_the_admin_says_so_on_a_page(acme):
    User.objects.create_superuser("ann", password="x")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get())
    with read_only():
        answer = client.post("/admin/eventsinks/tenant/add/", {"name": "Globex"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert READ_ONLY in answer.content.decode()
    assert "text/html" in answer["Content-Type"]
    assert [tenant.name for tenant in Tenant.objects.all()] == ["Acme"]


FILL = """
    CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER fill BEFORE INSERT ON eventsinks_event EXECUTE FUNCTION fill()"""


@contextlib.contextmanager
def full_disk():
    """Let nothing grow: SQLite by a limit of pages, PostgreSQL by raising what it raises."""
    if connection.vendor == "postgresql":
        run(FILL)
    else:
        run(f"PRAGMA max_page_count = {run('PRAGMA page_count')[0]}")
    try:
        yield
    finally:
        if connection.vendor == "postgresql":
            run("DROP TRIGGER fill ON eventsinks_event; DROP FUNCTION fill()")
        else:
            run("PRAGMA max_page_count = 1073741823")


def test_a_full_disk_is_told_by_the_door_and_then_by_readyz(acme, acme_key):
    alert = {**ALERT, "text": "x" * 200_000}
    with full_disk():
        # SQLite has pages left of what was deleted: it is full after some more.
        answers = [Caller(acme_key).post("/v1/detection_alert", alert) for _ in range(40)][-3:]
        ready = Client().get("/readyz")
    assert [answer.status_code for answer in answers] == [503] * 3
    assert FULL in answers[0].content.decode()
    assert (ready.status_code, ready.json()["database"]) == (503, FULL)
    assert Caller(acme_key).post("/v1/detection_alert", alert).status_code == 200


def test_the_worker_tells_it_in_one_line_and_goes_on_by_itself(acme, make_webhook, make_alert, caplog):
    sink = make_webhook("https://example.com/")
    make_alert()
    caplog.set_level(logging.WARNING)
    with read_only():
        for _ in range(3):
            assert tasks.sweep() == 0
    told = [record for record in caplog.records if READ_ONLY in record.getMessage()]
    assert len(told) == 1
    assert not any(record.exc_info for record in caplog.records)
    assert Delivery.objects.get().state == "pending"
    Destination.objects.filter(id=sink.id).update(state="paused")
    assert tasks.sweep() == 0


def test_the_task_of_a_stream_tells_it_in_one_line(acme, caplog):
    url = {"url": "https://example.com/"}
    integration = configure.create(acme, "generic_http", url, name="i")
    caplog.set_level(logging.WARNING)
    with read_only():
        assert [tasks.stream(integration.id) for _ in range(3)] == [0, 0, 0]
    told = [record.getMessage() for record in caplog.records if READ_ONLY in record.getMessage()]
    assert told == [f"nothing can be streamed: {READ_ONLY}; it is tried again"]


def test_that_a_disk_was_full_is_forgotten_after_a_while(monkeypatch):
    unavailable.remember(FULL)
    assert unavailable.recent_reason(10) == FULL
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    assert unavailable.recent_reason(10) == ""


def test_an_answer_names_no_detail_of_the_database(acme, acme_key):
    with read_only():
        said = json.loads(Caller(acme_key).post("/v1/detection_alert", ALERT).content)
    assert said["error"]["message"] == f"{READ_ONLY}; try again"
