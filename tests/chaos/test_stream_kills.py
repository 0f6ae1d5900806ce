"""Kills of a stream: whenever its process is killed, the objects in the bucket hold every event exactly once.

The events are of three hours, in no order: so most batches are several objects, each of one hour.

EVENTSINKS_TEST_KILLS in the environment says how many; each is a SIGKILL of a real process.
"""

import gzip
import itertools
import json
import os
import random
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.event_types import event_type
from eventsinks.intake import audit
from eventsinks.intake.accept import accept
from eventsinks.models import Batch, Delivery, Event, Position
from tests.helpers.visible import visible

pytestmark = pytest.mark.django_db(transaction=True)
KILLS = int(os.environ.get("EVENTSINKS_TEST_KILLS", "24"))
POINTS = ("before batch", "after batch", "before put", "after put")
KEYS = {"region": "eu-central-1", "access_key": "AKIAEXAMPLE", "secret_key": "secret"}


def make_due(destination):
    """Let the lease of the dead run out."""
    Position.objects.filter(destination_id=destination.id).update(due_at=Now() - timedelta(seconds=1))


def log(tenant, codes):
    """Write events into the tenant's log; return when they can be read."""
    said = [{"activity_code": str(code), "timestamp": f"2026-05-04T{hour_of(code)}:30:00Z"} for code in codes]
    accept(tenant, event_type("audit"), [json.dumps(one).encode() for one in said])
    visible(tenant)


def hour_of(code):
    """Return the hour in which an event happened: one of three, in no order."""
    return ("09", "10", "23")[random.Random(code).randrange(3)]


def codes_by_hour(bucket):
    """Return the codes in every object, in the order of their names, by the hour in these."""
    found = {}
    for object in bucket.objects.all():
        lines = gzip.decompress(object.get()["Body"].read()).splitlines()
        hour = object.key.partition("/hour=")[2][:2]
        found[hour] = found.get(hour, []) + [int(json.loads(line)["activity_code"]) for line in lines]
    return found


@pytest.mark.guarantee("R28")
def test_however_often_the_process_is_killed_around_a_put_each_event_is_there_once(
    live,
    acme,
    amazon,
    settings,
    monkeypatch,
):
    monkeypatch.setattr(audit, "record_destination", lambda *_: None)
    settings.AWS_ENDPOINT_URL = amazon.url
    bucket = amazon.make_bucket()
    integration = configure.create(acme, "s3", {"bucket_name": "acme-events", **KEYS}, name="i")

    def stream(point, after, killed):
        make_due(integration)
        live("stream", point, after, integration.id, amazon.url, killed=killed)

    dice = random.Random(1)
    plan = list(itertools.islice(itertools.cycle(POINTS), KILLS))
    dice.shuffle(plan)
    written = 0
    for point in plan:
        if Event.objects.filter(id__gt=Position.objects.get().event_id).count() < 30:
            log(acme, range(written, written + 200))
            written += 200
        stream(point, dice.randint(1, 3), killed=True)
        assert Batch.objects.filter(state="open").count() == 1  # its membership was saved before it was sent
    stream("nowhere", 1, killed=False)
    by_hour = {}
    for code in range(written):
        by_hour.setdefault(hour_of(code), []).append(code)
    assert codes_by_hour(bucket) == by_hour  # each once, in order, and under its own hour
    versions = [version.object_key for version in bucket.object_versions.all()]
    assert len(versions) == len(set(versions))  # nothing was ever written over
    assert not Batch.objects.filter(state="open").exists()
    assert not Delivery.objects.exists()


def test_a_process_that_is_killed_leaves_the_position_to_the_next_when_its_lease_is_over(
    live,
    acme,
    amazon,
    settings,
    monkeypatch,
):
    monkeypatch.setattr(audit, "record_destination", lambda *_: None)
    settings.AWS_ENDPOINT_URL = amazon.url
    amazon.make_bucket()
    integration = configure.create(acme, "s3", {"bucket_name": "acme-events", **KEYS}, name="i")
    log(acme, range(3))
    live("stream", "after put", 1, integration.id, amazon.url, killed=True)
    assert Position.objects.lease(integration.id, 60) is None
    make_due(integration)
    assert Position.objects.lease(integration.id, 60) is not None
