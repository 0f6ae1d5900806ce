"""Manifests: every hour of S3's batches is written down once, whole, and the same whoever writes it."""

import gzip
import hashlib
import json
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.destinations.base import BatchLimits, DestinationGone, Temporary
from eventsinks.destinations.s3 import S3
from eventsinks.event_types import event_type
from eventsinks.intake import audit
from eventsinks.intake.accept import accept
from eventsinks.models import Batch, Destination, Event, Position
from eventsinks.models.stream import find_due_positions
from eventsinks.streaming.streamer import stream
from tests.destinations.conftest import amazon, moto  # noqa: F401 - fixtures
from tests.helpers.visible import visible
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)
CONFIG = {"bucket_name": "acme-events", "region": "eu-central-1", "access_key": "AKIA1", "secret_key": "secret"}


@pytest.fixture
def bucket(amazon, settings, monkeypatch):  # noqa: F811
    settings.AWS_ENDPOINT_URL = amazon.url
    monkeypatch.setattr(audit, "record_destination", lambda *_: None)
    monkeypatch.setattr(S3, "limits", BatchLimits(max_events=2))
    return amazon.make_bucket()


@pytest.fixture
def sent(bucket, acme):
    """Return what streams the codes to a new integration, two a batch."""

    def sent(*codes, **config):
        integration = configure.create(acme, "s3", CONFIG | config, name="i")
        log(acme, *codes)
        stream(integration.id, World())
        return integration

    return sent


def log(tenant, *codes):
    accept(tenant, event_type("audit"), [b'{"activity_code":"%d"}' % code for code in codes])
    visible(tenant)


def hours_ago(hours, **which):
    """Let batches have been settled so long ago."""
    Batch.objects.filter(**which).update(settled_at=Now() - timedelta(hours=hours))


def look(integration):
    """Look at the stream, as the sweep does where something is due."""
    Position.objects.filter(destination=integration).update(due_at=Now() - timedelta(seconds=1))
    if integration.id in find_due_positions():
        stream(integration.id, World())


def manifests(bucket):
    return {
        found.key: json.loads(found.get()["Body"].read())
        for found in bucket.objects.all()
        if "_manifest/" in found.key
    }


@pytest.mark.guarantee("P3")
def test_an_hour_that_is_over_is_written_down_with_every_object_of_it(bucket, sent):
    integration = sent(1, 2, 3)
    hours_ago(2)
    look(integration)
    ((key, manifest),) = manifests(bucket).items()
    assert key.startswith("_manifest/dt=")
    assert "/000000000001-000000000002-" in key
    assert manifest["integration"] == str(integration.uuid)
    assert (manifest["first_number"], manifest["last_number"], manifest["count"]) == (1, 2, 3)
    for listed in manifest["objects"]:
        lines = gzip.decompress(bucket.Object(listed["key"]).get()["Body"].read())
        assert listed["bytes"] == len(lines)
        assert listed["sha256"] == hashlib.sha256(lines).hexdigest()
        assert listed["count"] == len(lines.splitlines())
    assert [listed["number"] for listed in manifest["objects"]] == [1, 2]


def test_an_hour_that_is_not_over_is_not_written_down(bucket, sent):
    look(sent(1))
    assert manifests(bucket) == {}


def test_each_hour_has_a_manifest_and_the_numbers_go_on_without_a_gap(bucket, sent):
    integration = sent(1, 2, 3, 4, 5, 6)
    hours_ago(3, number__lte=2)
    hours_ago(2, number=3)
    look(integration)
    found = [(one["first_number"], one["last_number"]) for _, one in sorted(manifests(bucket).items())]
    assert found == [(1, 2), (3, 3)]


def test_a_batch_that_left_nothing_behind_is_counted_and_has_no_object(bucket, sent):
    integration = sent(1, 2, 3, 4)
    Batch.objects.filter(number=1).update(state="split", stored=None)
    hours_ago(2)
    look(integration)
    (manifest,) = manifests(bucket).values()
    assert (manifest["first_number"], manifest["last_number"]) == (1, 2)
    assert [listed["number"] for listed in manifest["objects"]] == [2]


def test_a_worker_that_dies_after_the_manifest_was_written_leaves_one_manifest(bucket, sent, monkeypatch):
    integration = sent(1)
    hours_ago(2)
    write = S3.write_manifest

    def die(self, manifest):
        write(self, manifest)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(S3, "write_manifest", die)
        with pytest.raises(KeyboardInterrupt):
            look(integration)
    look(integration)
    assert len(manifests(bucket)) == 1
    assert Position.objects.get().manifest_number == 1
    versions = [version.object_key for version in bucket.object_versions.all()]
    assert len(versions) == len(set(versions))  # nothing was ever written over


def test_once_it_is_written_nothing_is_due_any_more(bucket, sent):
    integration = sent(1)
    hours_ago(2)
    assert find_due_positions() == [integration.id]
    look(integration)
    assert find_due_positions() == []


@pytest.mark.parametrize("config", [{"manifest": "none"}, {"layout": "object_per_event"}])
def test_who_wants_no_manifest_gets_none_and_is_not_looked_at_for_one(config, bucket, sent):
    integration = sent(1, **config)
    hours_ago(2)
    look(integration)
    assert manifests(bucket) == {}
    assert find_due_positions() == []


def test_a_manifest_lies_under_the_prefix(bucket, sent):
    integration = sent(1, prefix="logs/")
    hours_ago(2)
    look(integration)
    (key,) = manifests(bucket)
    assert key.startswith("logs/_manifest/")


@pytest.mark.parametrize("error", [Temporary("not now"), TypeError("a fault in the type")])
def test_a_manifest_that_can_not_be_written_now_is_written_later(bucket, sent, monkeypatch, error):
    integration = sent(1)
    hours_ago(2)

    def fail(self, manifest):
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(S3, "write_manifest", fail)
        look(integration)
    assert find_due_positions() == []  # for a while
    assert Position.objects.get().lease is None
    look(integration)
    assert len(manifests(bucket)) == 1


def test_a_manifest_that_may_not_be_written_parks_the_integration_and_says_so(bucket, sent, monkeypatch):
    integration = sent(1)
    hours_ago(2)

    def refuse(self, manifest):
        raise DestinationGone("the keys may not do this")

    monkeypatch.setattr(S3, "write_manifest", refuse)
    look(integration)
    parked = Destination.objects.get()
    assert parked.state == "parked"
    assert parked.state_reason == "the manifest of an hour can't be written: the keys may not do this"
    assert Event.objects.exists()
