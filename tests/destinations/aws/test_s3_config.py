"""S3: a place that a tenant names leads nowhere inside, neither when it is saved nor when it is dialled."""

import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import Temporary
from eventsinks.destinations.s3 import S3Config
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.examples import AT, make_batch
from tests.destinations.test_s3 import EXAMPLE, s3, written
from tests.helpers.receiver import Receiver


def config(**changes):
    return S3Config.model_validate({**EXAMPLE, **changes}, context={"guard": AddressGuard()})


def test_a_store_that_the_tenant_names_is_dialled_if_the_guard_permits_it(amazon):
    bucket = amazon.make_bucket()
    for host in ("127.0.0.1", "localhost"):
        destination = s3(endpoint_url=amazon.url.replace("127.0.0.1", host), prefix=host)
        destination.guard = AddressGuard(["127.0.0.0/8"])
        destination.send(make_batch(), AT)
    assert len(list(bucket.objects.all())) == 2


@pytest.mark.parametrize("guard", [AddressGuard(), None])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_name_that_leads_inside_is_refused_when_it_is_dialled(host, guard):
    with Receiver(written) as receiver:
        destination = s3(endpoint_url=receiver.url("", host=host))
        destination.guard = guard
        with pytest.raises(Temporary, match=r"address_refused: .* is an internal address"):
            destination.send(make_batch(), AT)
        assert receiver.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9000",
        "http://169.254.169.254/",
        "http://[::1]:9000",
        "https://s3.example/?x=1",
        "s3.example",
    ],
)
def test_a_place_that_is_none_is_refused_when_it_is_saved(url):
    with pytest.raises(ValidationError, match="endpoint_url"):
        config(endpoint_url=url)


@pytest.mark.parametrize("region", ["evil.example/", "us-east-1#", "a@b", "", "-x", "eu-central-1\n"])
def test_a_region_names_no_other_host(region):
    with pytest.raises(ValidationError, match="region"):
        config(region=region)


NO_NAMES = [
    "ab",
    "a" * 64,
    "Acme",
    "a_b",
    "a..b",
    "a.-b",
    "a-.b",
    ".ab",
    "ab.",
    "-ab",
    "ab-",
    "192.168.0.1",
    "xn--acme",
]
NO_NAMES += [
    "sthree-acme",
    "amzn-s3-demo-acme",
    "acme--ol-s3",
    "acme.mrap",
    "acme--table-s3",
    "acme\n",
    "ac\0me",
    "é12",
]


@pytest.mark.parametrize("name", [*NO_NAMES, ""])
def test_a_name_that_no_bucket_has_is_refused_at_its_field(name):
    with pytest.raises(ValidationError) as refused:
        config(bucket_name=name)
    assert [detail["loc"] for detail in refused.value.errors()] == [("bucket_name",)]


@pytest.mark.parametrize(
    "name",
    ["abc", "a" * 63, "acme.logs.2026", "1.2.3", "192.168.0.1a", "a--b", "acme-s3alias", "acme--use1-az4--x-s3"],
)
def test_a_name_that_a_bucket_may_have_is_taken(name):
    assert config(bucket_name=name).bucket_name == name


@pytest.mark.parametrize("prefix", ["/a", "a/../b", "..", "a//b", "{{.ID}}", "a b", "é", "x" * 501])
def test_a_prefix_leads_nowhere_else(prefix):
    with pytest.raises(ValidationError, match="prefix"):
        config(prefix=prefix)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket_name": "Acme"},
        {"bucket_name": "a/b.c"},
        {"sse": "none"},
        {"kms_key_id": "1234"},
        {"expected_bucket_owner": "acme"},
        {"layout": "zip"},
    ],
)
def test_an_option_that_is_none_is_refused(wrong):
    with pytest.raises(ValidationError):
        config(**wrong)


def test_a_sending_whose_time_is_over_is_not_begun():
    with Receiver(written) as receiver:
        destination = s3(receiver.url(""))
        destination.seconds = 0.0
        with pytest.raises(Temporary, match="no time left"):
            destination.send(make_batch(), AT)
        assert receiver.connections == 0


@pytest.mark.parametrize(
    ("changes", "has_one"),
    [
        ({}, True),
        ({"manifest": "hourly"}, True),
        ({"manifest": ""}, True),
        ({"manifest": "none"}, False),
        ({"layout": "object_per_event"}, False),
        ({"layout": "object_per_event", "manifest": "none"}, False),
    ],
)
def test_batches_have_a_manifest_unless_the_tenant_wants_none(changes, has_one):
    assert config(**changes).has_manifest is has_one


def test_a_manifest_of_what_is_no_batch_is_refused():
    with pytest.raises(ValidationError, match="layout must be batch"):
        config(layout="object_per_event", manifest="hourly")
