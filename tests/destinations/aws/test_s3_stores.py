"""Stores that are not Amazon's: each object is there once where the store allows it, else under one name."""

import gzip
import itertools
import os
import socket
import subprocess
import time
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import boto3
import pytest

from eventsinks.destinations.base import DestinationGone, SendFailure, Temporary
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.aws.store import Store
from tests.destinations.examples import AT, make_audit, make_audits, make_batch, make_type
from tests.destinations.test_s3 import EXAMPLE

CONDITIONS = ("kept", "ignored", "unknown", "refused")
HABITS = ((), ("lose",), ("409 ConditionalRequestConflict",), ("503 SlowDown", "lose"), ("500 InternalError",))
TRIES = 8  # at most, until it is taken


def at(store, **changes):
    """Return an S3 destination that writes to `store`."""
    kind = make_type("s3", {**EXAMPLE, "endpoint_url": store.url, **changes})
    kind.guard = AddressGuard(["127.0.0.0/8"])
    return kind


def send_until_taken(store, batch, fresh):
    """Send a batch until it is taken, by another worker each time if `fresh`. Return how often it was sent."""
    kind = at(store)
    for number in range(1, TRIES + 1):
        try:
            kind.send(batch, AT)
        except Temporary:
            kind = at(store) if fresh else kind
        else:
            return number
    raise AssertionError("it was never taken")


def two_hours():
    """Return three events of one hour, and one of the next among them."""
    first, second, third = make_audits(3)
    return first, make_audit(message_id=UUID(int=9), occurred_at=AT + timedelta(hours=1)), second, third


@pytest.mark.parametrize(
    ("conditions", "keeps_metadata", "may_look", "habit"),
    list(itertools.product(CONDITIONS, (True, False), (True, False), HABITS)),
)
def test_a_batch_is_there_under_one_name_and_once_where_the_store_allows_it(
    conditions, keeps_metadata, may_look, habit
):
    with Store(conditions, keeps_metadata=keeps_metadata, may_look=may_look, first=habit) as store:
        batch = make_batch(*two_hours())
        for fresh in (True, False):
            send_until_taken(store, batch, fresh)
        found = store.versions
    assert sorted(name.rpartition("/hour%3D")[2] for name in found) == [
        f"{hour}/000000000007-{batch.id}.json.gz" for hour in ("09", "10")
    ]
    assert [len(set(bodies)) for bodies in found.values()] == [1, 1]
    assert sorted(gzip.decompress(bodies[0]).count(b"\n") for bodies in found.values()) == [1, 3]
    # Without conditions boto3's own second try, after a lost answer, writes the same bytes once more.
    if conditions == "kept" or (may_look and conditions != "ignored" and "lose" not in habit):
        assert [len(bodies) for bodies in found.values()] == [1, 1]


@pytest.mark.parametrize("conditions", ["unknown", "refused"])
def test_a_store_that_knows_no_conditions_is_asked_for_them_once(conditions):
    with Store(conditions) as store:
        kind = at(store)
        kind.send(make_batch(*make_audits(2)), AT)
        kind.send(make_batch(*make_audits(2), number=8), AT)
    assert store.requests == ["PUT", "HEAD", "PUT", "HEAD", "PUT"]


def test_a_lost_answer_of_a_store_that_keeps_no_metadata_and_has_etags_of_its_own_is_found_again():
    with Store(keeps_metadata=False, opaque_etag=True, first=["lose"]) as store:
        batch = make_batch(*make_audits(3))
        send_until_taken(store, batch, fresh=True)
        assert len(store.versions) == 1


@pytest.mark.parametrize("keeps_metadata", [True, False])
def test_an_object_of_other_bytes_in_our_place_is_not_taken_for_ours(keeps_metadata):
    with Store(keeps_metadata=keeps_metadata) as store:
        batch = make_batch(*make_audits(3))
        at(store).send(batch, AT)
        ((name, (ours,)),) = store.versions.items()
        store.versions[name] = [b"x" * len(ours)]
        store._heads[name] = []
        with pytest.raises(DestinationGone, match="somebody else"):
            at(store).send(batch, AT)


@pytest.mark.parametrize("layout", ["batch", "object_per_event"])
def test_each_layout_can_be_written_to_a_store_without_conditions(layout):
    with Store("unknown") as store:
        at(store, layout=layout).send(make_batch(*make_audits(3)), AT)
        assert len(store.versions) == (1 if layout == "batch" else 3)


def test_a_redirect_is_a_wrong_region_to_be_repaired():
    with Store(first=["301 PermanentRedirect"] * 3) as store, pytest.raises(DestinationGone, match="wrong region"):
        at(store).send(make_batch(), AT)


def test_an_object_that_is_too_large_is_refused_and_slow_down_is_not():
    for habit, failure in (("503 SlowDown", Temporary), ("400 EntityTooLarge", SendFailure)):
        with Store(first=[habit] * 3) as store, pytest.raises(failure):
            at(store).send(make_batch(), AT)


S3RVER = os.environ.get("TEST_S3RVER")  # the program of npm's s3rver, where Node is there


@pytest.fixture
def s3rver(tmp_path):
    """Return where an s3rver listens, with a bucket in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [S3RVER, "-d", str(tmp_path), "-p", str(port), "-s", "--configure-bucket", "acme-events"]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(port)
            yield url
        finally:
            process.terminate()


def wait_for(port, seconds=20):
    """Wait until something listens at a port."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nothing listens")


if S3RVER:  # not skipped where it is not: the suite needs nothing but Python

    @pytest.mark.parametrize("layout", ["batch", "object_per_event"])
    def test_s3rver_has_each_object_once(s3rver, layout):
        store = SimpleNamespace(url=s3rver)
        keys = {"access_key": "S3RVER", "secret_key": "S3RVER"}
        batch = make_batch(*two_hours())
        for _ in range(3):
            assert not at(store, layout=layout, **keys).send(batch, AT).failures
        session = boto3.Session("S3RVER", "S3RVER", region_name="eu-central-1")
        found = list(session.resource("s3", endpoint_url=s3rver).Bucket("acme-events").objects.all())
        assert len(found) == (2 if layout == "batch" else 4)
        body = found[0].get()["Body"].read()
        assert layout != "batch" or gzip.decompress(body).count(b"\n") == 3
