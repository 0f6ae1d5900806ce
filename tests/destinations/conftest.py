"""Amazon as moto plays it, one server for the run and empty for each test."""

import urllib.request

import boto3
import pytest
from moto.server import ThreadedMotoServer

from eventsinks.destinations.base import Endpoints
from eventsinks.lib.net.aws import AwsKeys, make_client

REGION = "eu-central-1"


class Amazon:
    """A moto server. `client` is for looking at what came of it."""

    def __init__(self, url):
        self.url = url
        self.endpoints = Endpoints(aws=url)

    def client(self, service):
        """Return a client of boto3's."""
        return make_client(service, REGION, AwsKeys("AKIALOOKINGATIT", "secret"), self.url)

    def post(self, path, body=b""):
        """Tell moto itself something."""
        headers = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers)).close()

    def make_stream(self, name="acme-events", bucket="acme-events"):
        """Make a stream of Firehose that ends in a bucket."""
        place = {"RoleARN": "arn:aws:iam::123456789012:role/firehose", "BucketARN": f"arn:aws:s3:::{bucket}"}
        self.client("firehose").create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=place
        )

    def check_keys(self):
        """From now on, take only keys that IAM knows."""
        self.post("/moto-api/reset-auth", b"0")

    def make_bucket(self, name="acme-events"):
        """Make a bucket that keeps every version of its objects."""
        s3 = self.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return boto3.Session("a", "b", region_name=REGION).resource("s3", endpoint_url=self.url).Bucket(name)


@pytest.fixture(scope="session")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def amazon(moto):
    amazon = Amazon(moto)
    amazon.post("/moto-api/reset")
    yield amazon
    amazon.post("/moto-api/reset-auth", b"inf")
