"""Streams to S3 of a backlog that spans hours: an object holds one hour, each event is there once, all listed."""

import gzip
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.destinations.base import BatchLimits, DestinationGone, Temporary, TooLarge
from eventsinks.destinations.s3 import S3
from eventsinks.event_types import event_type
from eventsinks.intake import audit
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Batch, Delivery, Destination, Position
from eventsinks.streaming.next_batch import open_next_batch
from eventsinks.streaming.settle_batch import settle_batch
from eventsinks.streaming.streamer import stream
from tests.destinations.conftest import amazon, moto  # noqa: F401 - fixtures
from tests.helpers.visible import visible
from tests.helpers.worlds import World
from tests.streaming.test_manifest import CONFIG, hours_ago, look, manifests

pytestmark = pytest.mark.django_db(transaction=True)
DAY = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.fixture
def bucket(amazon, settings, monkeypatch):  # noqa: F811
    settings.AWS_ENDPOINT_URL = amazon.url
    monkeypatch.setattr(audit, "record_destination", lambda *_: None)
    monkeypatch.setattr(S3, "limits", BatchLimits(max_events=20))
    return amazon.make_bucket()


@pytest.fixture
def integration(bucket, acme):
    return configure.create(acme, "s3", CONFIG, name="i")


def log(tenant, hours):
    """Write an event into each of these hours of DAY; its code says which it is."""
    said = [
        {"activity_code": str(code), "timestamp": (DAY + timedelta(hours=hour)).isoformat()}
        for code, hour in enumerate(hours)
    ]
    accept(tenant, event_type("audit"), [json.dumps(one).encode() for one in said])
    visible(tenant)


def events(bucket):
    """Return the (hour of the folder, hour of the event, code) of each line in the bucket."""
    found = []
    for object in bucket.objects.all():
        if "_manifest/" not in object.key:
            folder = object.key.partition("hour=")[2][:2]
            lines = gzip.decompress(object.get()["Body"].read()).splitlines()
            said = [json.loads(line) for line in lines]
            found += [(folder, one["timestamp"][11:13], int(one["activity_code"])) for one in said]
    return found


@pytest.mark.guarantee("P3")
def test_every_event_of_an_unordered_backlog_lies_once_under_its_own_hour(bucket, integration, acme):
    dice = random.Random(2)
    log(acme, [dice.randrange(6) for _ in range(50)])
    assert stream(integration.id, World()) == 3
    found = events(bucket)
    assert sorted(code for _, _, code in found) == list(range(50))
    assert [folder for folder, hour, _ in found if folder != hour] == []
    assert len(list(bucket.objects.all())) <= 6 * 3


def fails_once(monkeypatch, hour, failure):
    """Let what is written into an hour fail the first time."""
    write, failures = S3._write, [failure]

    def failing(self, object):
        if f"hour={hour:02}/" in object.key and failures:
            raise failures.pop()
        return write(self, object)

    monkeypatch.setattr(S3, "_write", failing)


def test_an_hour_that_failed_comes_later_and_the_manifest_tells_of_all(bucket, integration, acme, monkeypatch):
    log(acme, [1, 2, 1, 3, 2, 2])
    fails_once(monkeypatch, 2, Temporary("not now", Response(503, [], b"")))
    stream(integration.id, World())
    open = Batch.objects.get(state="open")
    assert (len(open.members), len(open.stored), open.reason) == (3, 2, "not now")
    look(integration)
    assert sorted(code for _, _, code in events(bucket)) == list(range(6))
    assert Position.objects.get().sent_events == 6
    assert not Delivery.objects.exists()
    hours_ago(2)
    look(integration)
    (manifest,) = manifests(bucket).values()
    assert (manifest["first_number"], manifest["last_number"], manifest["count"]) == (1, 1, 6)
    assert [listed["number"] for listed in manifest["objects"]] == [1, 1, 1]
    for listed in manifest["objects"]:
        lines = gzip.decompress(bucket.Object(listed["key"]).get()["Body"].read())
        assert listed["sha256"] == hashlib.sha256(lines).hexdigest()
        assert listed["count"] == len(lines.splitlines())


def test_a_repair_goes_on_with_the_hours_that_are_left(bucket, integration, acme, monkeypatch):
    log(acme, [1, 2, 1])
    fails_once(monkeypatch, 2, DestinationGone("may not be written"))
    stream(integration.id, World())
    assert Destination.objects.get().state == "parked"
    configure.resume(Destination.objects.get())
    Position.objects.update(due_at=Now() - timedelta(seconds=1))
    stream(integration.id, World())
    assert sorted(code for _, _, code in events(bucket)) == [0, 1, 2]
    versions = [version.object_key for version in bucket.object_versions.all()]
    assert len(versions) == len(set(versions)) == 2


def test_a_worker_that_dies_before_it_settles_leaves_each_hour_once(bucket, integration, acme, monkeypatch):
    log(acme, [1, 2, 1, 3])
    write, left = S3._write, [2]

    def dying(self, object):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return write(self, object)

    with monkeypatch.context() as death:
        death.setattr(S3, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            stream(integration.id, World())
    Position.objects.update(due_at=Now() - timedelta(seconds=1))
    stream(integration.id, World())
    assert sorted(code for _, _, code in events(bucket)) == list(range(4))
    assert len(Batch.objects.get().stored) == 3
    versions = [version.object_key for version in bucket.object_versions.all()]
    assert len(versions) == len(set(versions)) == 3


def test_what_was_stored_of_a_batch_that_goes_on_in_halves_is_kept(bucket, integration, acme):
    log(acme, [1, 2, 2])
    position = Position.objects.lease(integration.id, 60)
    batch = open_next_batch(position, integration.opened())
    failures = dict.fromkeys(batch.members[1:], TooLarge("in halves"))
    assert settle_batch(position, batch, failures, stored=[{"key": "hour 1"}])
    assert Batch.objects.get(number=1).stored == [{"key": "hour 1"}]
    assert Batch.objects.get(state="open").members == batch.members[1:2]


def test_a_manifest_tells_of_batches_from_when_each_was_one_object(bucket, integration, acme):
    log(acme, [1, 2])
    stream(integration.id, World())
    first, _ = Batch.objects.get().stored
    Batch.objects.update(stored=first)
    hours_ago(2)
    look(integration)
    (manifest,) = manifests(bucket).values()
    assert [listed["key"] for listed in manifest["objects"]] == [first["key"]]
