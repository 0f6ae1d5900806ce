"""A tenant is deleted with all that it has, whatever is killed on the way, and nobody else loses anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from eventsinks.actions import configure, silence
from eventsinks.actions.delete_tenant import delete_tenant
from eventsinks.actions.tenants import TenantIsDeleted, create_tenant, issue_key
from eventsinks.door.keys import find_keys
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.models import (
    Attempt,
    Batch,
    Clearing,
    Count,
    CountDelta,
    Delivery,
    Event,
    Finding,
    Incident,
    QuietWindow,
    Replay,
    SlackInstall,
    SlackWorkspace,
    Tenant,
    TrafficTerm,
    counting,
)
from eventsinks.models.counting.roll_up import roll_up_some
from eventsinks.models.search.alert_words import Alert, write_words
from eventsinks.sweeping import retain
from eventsinks.sweeping.delete_tenants import delete_tenants
from tests.helpers.counts import audit_account
from tests.helpers.crowd import at_once

pytestmark = pytest.mark.django_db(transaction=True)
OURS = [model for model in apps.get_app_config("eventsinks").get_models() if not model._meta.proxy]
FLOW = {
    "event_id": "f",
    "timestamp": "2026-01-01T00:00:00Z",
    "receive_timestamp": "2026-01-01T00:00:00Z",
    "flow_id": "f",
    "reporter_id": "r",
    "source": {"id": "s", "type": "PEER", "name": "n", "address": "10.0.0.1:1"},
    "destination": {"id": "d", "type": "PEER", "name": "m", "address": "10.0.0.2:2"},
    "protocol": 6,
    "events": [{"type": "TYPE_START", "timestamp": "2026-01-01T00:00:00Z"}],
}


def tenant_alerts(tenant):
    return Event.objects.filter(tenant=tenant, type="detection_alert")


def furnish(tenant, alerts=5):
    """Give a tenant something in every table."""
    sink = configure.create(tenant, "webhook", {"url": "https://example.com/"}, name=f"of {tenant.name}")
    stream = configure.create(tenant, "generic_http", {"url": "https://example.com/"}, name="HTTP")
    documents = [json.dumps({"name": "n", "severity": "High", "id": str(n)}).encode() for n in range(alerts)]
    accept(tenant, event_type("detection_alert"), documents)
    flows = accept(tenant, event_type("network_traffic"), [json.dumps(FLOW).encode()])
    request = {"id": "p", "timestamp": "2026-01-01T00:00:00Z", "host": "h", "path": "/", "method": "GET"}
    asked = accept(tenant, event_type("proxy"), [json.dumps({**request, "status_code": 200}).encode()])
    assert not flows.rejections + asked.rejections
    for delivery in Delivery.objects.filter(destination=sink)[:3]:
        Attempt.objects.create(
            id=uuid.uuid4(), delivery=delivery, number=1, started_at=timezone.now(), outcome="delivered"
        )
    Batch.objects.create(destination=stream, number=1, count=1, first_event=1, last_event=1, last_xid=1)
    Incident.objects.remember((sink.id, "k"), {"a": 1})
    now = timezone.now()
    QuietWindow.objects.create(destination=sink, kind="dedup", key="k", starts_at=now, ends_at=now)
    Replay.objects.create(tenant=tenant, destination=sink, since=now, until=now, states=["failed"], asked_by="me")
    Clearing.objects.create(tenant=tenant, destination=sink, reason="r")
    silence.make_silence(tenant, reason="r", author="a", ends_at=now + timedelta(hours=1), filter="true")
    workspace = SlackWorkspace(tenant=tenant, team_id="T1", team_name="HQ")
    workspace.token = "xoxb-1"
    workspace.save()
    SlackInstall.objects.create(tenant=tenant, initiator_id="i", expires_at=now)
    Finding.objects.create(kind="event", tenant_id=tenant.id, slot=0, missing=1, dismissed_at=now)
    roll_up_some()
    counting.add({(tenant.id, 0, "first:1", 600): 1})
    if connection.vendor == "sqlite":
        TrafficTerm.objects.create(number=hash(tenant.id) % 2**40, tenant=tenant, text="t")
    write_words(list(map(Alert._make, tenant_alerts(tenant).values_list(*Alert._fields))))
    retain._looked_at = float("-inf")
    retain.make_missing_walks()
    return issue_key(tenant)[1]


def count_rows():
    """Count the rows of every table, but deltas, which are summed up at any time."""
    return {model.__name__: model._default_manager.count() for model in OURS if model not in (Count, CountDelta)}


def has_counts(tenant):
    return any(model.objects.filter(tenant_id=tenant.id).exists() for model in (Count, CountDelta, Finding))


def is_over(tenant, hours=1):
    """Let so much time pass that nothing of before the deletion is under way."""
    Tenant.objects.filter(id=tenant.id).update(deleted_at=timezone.now() - timedelta(hours=hours))


def delete_all(tenant):
    for _ in range(50):
        delete_tenants()
        if not Tenant.objects.filter(id=tenant.id).exists():
            return
    pytest.fail("it is still there")


def test_all_that_a_tenant_has_goes_and_nothing_of_another(globex):
    furnish(globex)
    before = count_rows()
    of_nobody = {"Canary", "AuditMark", "SearchProgress"}
    assert [name for name, count in before.items() if not count and name not in of_nobody] == []
    acme = create_tenant("Acme")
    furnish(acme)
    assert delete_tenant(acme)
    is_over(acme)
    delete_all(acme)
    after = count_rows()
    kept = {"Routing": 1}  # a routing number is never given twice
    assert (has_counts(globex), has_counts(acme)) == (True, False)
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == kept
    assert audit_account().balances


def test_its_keys_open_nothing_from_the_commit_on(acme):
    key = issue_key(acme)[1]
    assert find_keys([key])
    delete_tenant(acme)
    assert not find_keys([key])
    with pytest.raises(TenantIsDeleted):
        issue_key(acme)
    assert not delete_tenant(acme)


def test_nothing_is_sent_to_its_destinations(acme, make_webhook, make_alert, dispatcher):
    sink = make_webhook(url="http://127.0.0.1:8099/")
    make_alert()
    delete_tenant(acme)
    assert dispatcher.run() == 0
    assert not Attempt.objects.exists()
    sink.refresh_from_db()
    assert (sink.sealed_secrets, sink.sealed_signing_secret) == ("", "")


def test_its_row_stays_until_what_was_under_way_has_ended(acme):
    furnish(acme)
    delete_tenant(acme)
    for _ in range(20):
        delete_tenants()
    assert Tenant.objects.filter(id=acme.id).exists()
    assert not Event.objects.exists()
    accept(acme, event_type("detection_alert"), [b'{"name": "late", "severity": "Low"}'])  # let in before
    is_over(acme)
    delete_all(acme)
    assert not Event.objects.exists()


def test_two_sweeps_at_once_delete_it_once(globex):
    furnish(globex)
    before = count_rows()
    acme = create_tenant("Acme")
    furnish(acme, alerts=60)
    delete_tenant(acme)
    is_over(acme)
    found = at_once(2, lambda _: delete_tenants())
    assert not [one for one in found if isinstance(one, Exception)], found
    if Tenant.objects.filter(id=acme.id).exists():
        delete_all(acme)
    after = count_rows()
    assert after == {**before, "Routing": before["Routing"] + 1}


SWEEP = """
import django, sys, time
from unittest import mock
django.setup()
from eventsinks.sweeping import delete_tenants as swept, retain
swept.AT_ONCE = retain.AT_ONCE = 3
from django.db import connection
print("ready", flush=True)
def slow(execute, statement, params, many, context):
    print("x", flush=True)  # whoever reads this kills us before or after any of the statements
    return execute(statement, params, many, context)
with connection.execute_wrapper(slow):
    while True:
        swept.delete_tenants()
        retain.retain()
"""


def kill_in_the_middle(statements):
    """Start a process that sweeps, and kill it after so many statements."""
    name = connection.settings_dict["NAME"]
    environment = {**os.environ, "SWEPT_DATABASE": str(name)}
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + SWEEP], stdout=subprocess.PIPE, env=environment
    ) as process:
        for _ in range(statements + 1):
            if not process.stdout.readline():
                break
        os.kill(process.pid, signal.SIGKILL)


PRELUDE = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
from django.conf import settings
settings.DATABASES["default"]["NAME"] = os.environ["SWEPT_DATABASE"]
"""


@pytest.mark.guarantee("R31")
def test_a_deletion_goes_on_after_each_kill(globex):
    if "memory" in str(connection.settings_dict["NAME"]):
        pytest.skip("another process can't open a database in memory")
    furnish(globex)
    before = count_rows()
    acme = create_tenant("Acme")
    furnish(acme, alerts=40)
    delete_tenant(acme)
    is_over(acme)
    for statements in (8, 21, 34, 89):
        kill_in_the_middle(statements)
        assert audit_account(globex).balances
        assert audit_account().balances
    delete_all(acme)
    assert count_rows() == {**before, "Routing": before["Routing"] + 1, "AuditMark": 4}
    assert not has_counts(acme)
