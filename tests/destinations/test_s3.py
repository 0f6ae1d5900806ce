"""S3: an object is there once, whatever was tried before; what is not ours is not taken for it."""

import gzip
import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventsinks.destinations.base import DestinationGone, Endpoints, Temporary
from eventsinks.destinations.s3 import S3Config
from eventsinks.lib.net.addresses import AddressGuard
from tests.destinations.examples import (
    AT,
    BATCH_ID,
    assert_golden_data,
    make_audit,
    make_audits,
    make_batch,
    make_traffic,
    make_type,
)
from tests.helpers.receiver import Receiver, answer

EXAMPLE = {
    "bucket_name": "acme-events",
    "region": "eu-central-1",
    "access_key": "AKIAACMEEVENTS000001",
    "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYacmeacme",
    "prefix": "siem/netbird",
}
KEY = f"siem/netbird/dt=2026-05-04/hour=09/000000000007-{BATCH_ID}.json.gz"


def s3(url=None, **changes):
    return make_type("s3", {**EXAMPLE, **changes}, endpoints=Endpoints(aws=url))


def config(**changes):
    return S3Config.model_validate({**EXAMPLE, **changes}, context={"guard": AddressGuard()})


def written(got):
    return answer(body=b"")


def lines(object):
    return gzip.decompress(object.get()["Body"].read()).decode().splitlines()


def xml(status, code):
    said = f"<Error><Code>{code}</Code><Message>that is how it is</Message></Error>".encode()
    return answer(status, [("Content-Type", "application/xml")], said)


def failed(answers, config=EXAMPLE, batch=None, expected=Exception):
    """Send to a far end that answers like this, and return how it failed."""
    answering = answers if callable(answers) else lambda got: answers
    with Receiver(answering) as receiver, pytest.raises(expected) as caught:
        make_type("s3", config, endpoints=Endpoints(aws=receiver.url(""))).send(batch or make_batch(), AT)
    return caught.value


@pytest.mark.guarantee("P3")
def test_a_batch_is_one_object_of_zipped_lines(amazon):
    bucket = amazon.make_bucket()
    raw = b'{"id":"1",\r\n "big":123456789012345678901234567890, "text":"a\\nb"\n}'
    batch = make_batch(make_audit(), make_audit(raw=raw, message_id=UUID(int=9)))
    receipt = s3(amazon.url).send(batch, AT)
    assert (receipt.response.status, receipt.failures) == (200, None)
    (object,) = bucket.objects.all()
    assert object.key == KEY
    first, second = lines(object)
    assert first.encode() == batch.messages[0].data
    assert '"big":123456789012345678901234567890' in second
    assert json.loads(second) == json.loads(raw)


@pytest.mark.guarantee("P3")
def test_an_object_says_what_is_in_it(amazon):
    bucket = amazon.make_bucket()
    s3(amazon.url).send(make_batch(*make_audits(3)), AT)
    found = bucket.Object(KEY).get()
    assert (found["ContentType"], found["ContentEncoding"]) == ("application/x-ndjson", "gzip")
    assert found["Metadata"] == {
        "batch-id": str(BATCH_ID),
        "batch-number": "7",
        "first-id": str(UUID(int=1)),
        "last-id": str(UUID(int=3)),
        "count": "3",
        "sha256": hashlib.sha256(gzip.decompress(found["Body"].read())).hexdigest(),
    }


@pytest.mark.guarantee("R28")
def test_a_batch_that_is_sent_again_is_there_once(amazon):
    bucket = amazon.make_bucket()
    for at in (AT, AT, datetime(2027, 1, 1, tzinfo=UTC)):
        assert not s3(amazon.url).send(make_batch(), at).failures
    assert len(list(bucket.object_versions.all())) == 1


@pytest.mark.guarantee("R28")
@pytest.mark.parametrize("ours", ["sha256", "batch-id", None])
def test_an_object_of_somebody_elses_is_not_taken_for_ours(amazon, ours):
    bucket = amazon.make_bucket()
    s3(amazon.url).send(make_batch(), AT)
    metadata = bucket.Object(KEY).get()["Metadata"]
    bucket.Object(KEY).put(Body=b"theirs", Metadata={ours: metadata[ours]} if ours else {})
    with pytest.raises(DestinationGone, match="somebody else"):
        s3(amazon.url).send(make_batch(), AT)
    assert bucket.Object(KEY).get()["Body"].read() == b"theirs"


def test_keys_that_may_only_write_trust_the_name_of_the_batch():
    answers = {"PUT": xml(412, "PreconditionFailed"), "HEAD": answer(403, body=b"")}
    with Receiver(lambda got: answers[got.method]) as receiver:
        assert not s3(receiver.url("")).send(make_batch(), AT).failures
    assert [got.method for got in receiver.got] == ["PUT", "HEAD"]


def test_an_object_that_was_there_and_is_gone_is_tried_again():
    answers = {"PUT": xml(412, "PreconditionFailed"), "HEAD": answer(404, body=b"")}
    failed(lambda got: answers[got.method], expected=Temporary)


def test_the_slash_at_the_end_of_a_prefix_is_not_doubled():
    with Receiver(written) as receiver:
        s3(receiver.url(""), prefix="x/").send(make_batch(), AT)
    assert receiver.got[0].path.startswith("/acme-events/x/dt%3D2026-05-04/hour%3D09/")


@pytest.mark.guarantee("S21")
def test_what_goes_over_the_wire_is_the_golden_one():
    options = {
        "sse": "aws:kms",
        "kms_key_id": "arn:aws:kms:eu-central-1:111122223333:key/1234",
        "expected_bucket_owner": "111122223333",
    }
    with Receiver(written) as receiver:
        s3(receiver.url(""), **options).send(make_batch(make_audit(), make_traffic()), AT)
    (got,) = receiver.got
    wanted = ("if-none-match", "content-encoding", "content-type", "content-md5")
    headers = sorted(
        (name.lower(), value)
        for name, value in got.headers
        if name.lower() in wanted
        or name.lower().startswith(("x-amz-meta-", "x-amz-server-side", "x-amz-expected"))
    )
    body = [json.loads(line) for line in gzip.decompress(got.body).splitlines()]
    assert_golden_data("s3/batch", {"method": got.method, "path": got.path, "headers": headers, "body": body})


@pytest.mark.guarantee("S21")
def test_encryption_without_a_key_of_ones_own_is_asked_for():
    with Receiver(written) as receiver:
        s3(receiver.url(""), sse="AES256").send(make_batch(), AT)
    assert receiver.got[0].header("x-amz-server-side-encryption") == "AES256"


@pytest.mark.guarantee("R28")
def test_an_answer_that_is_lost_leaves_one_object(amazon):
    """The first try is written and its answer dropped: boto3 tries again, and meets its own object."""
    bucket = amazon.make_bucket()
    lost = []

    def lose_first(got):
        lost.append(got.method)
        if len(lost) == 1:
            s3(amazon.url).send(make_batch(), AT)
            return lambda reader, writer: writer.transport.abort()
        if got.method == "PUT":
            return xml(412, "PreconditionFailed")
        metadata = bucket.Object(KEY).get()["Metadata"].items()
        return answer(200, [(f"x-amz-meta-{name}", value) for name, value in metadata], b"")

    with Receiver(lose_first) as receiver:
        assert not s3(receiver.url("")).send(make_batch(), AT).failures
    assert lost == ["PUT", "PUT", "HEAD"]
    assert len(list(bucket.object_versions.all())) == 1


def test_a_bucket_that_there_is_not_parks_the_destination(amazon):
    with pytest.raises(DestinationGone, match="no such bucket"):
        s3(amazon.url).send(make_batch(), AT)


def test_keys_that_are_wrong_or_may_not_park_the_destination(amazon):
    amazon.make_bucket()
    iam = amazon.client("iam")
    iam.create_user(UserName="acme")
    made = iam.create_access_key(UserName="acme")["AccessKey"]
    amazon.check_keys()
    with pytest.raises(DestinationGone, match="no such access key"):
        s3(amazon.url).send(make_batch(), AT)
    wrong = s3(amazon.url, access_key=made["AccessKeyId"])
    with pytest.raises(DestinationGone, match="secret key is not the one"):
        wrong.send(make_batch(), AT)
    may_not = s3(amazon.url, access_key=made["AccessKeyId"], secret_key=made["SecretAccessKey"])
    with pytest.raises(DestinationGone, match="may not do this"):
        may_not.send(make_batch(), AT)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (301, "PermanentRedirect", DestinationGone),
        (400, "AuthorizationHeaderMalformed", DestinationGone),
        (403, "AccessDenied", DestinationGone),
        (403, "SomethingNew", Temporary),
        (404, "NoSuchBucket", DestinationGone),
        (409, "ConditionalRequestConflict", Temporary),
        (503, "SlowDown", Temporary),
    ],
)
def test_an_error_says_what_to_do(status, code, expected):
    failure = failed(xml(status, code), expected=expected)
    assert f"{code}: that is how it is" in failure.reason
    assert failure.response.status == status


def test_a_wrong_region_is_told_and_not_gone_after():
    headers = [("x-amz-bucket-region", "us-west-2"), ("Location", "http://127.0.0.1:1/")]
    with Receiver(lambda got: answer(301, headers, b"")) as receiver, pytest.raises(DestinationGone) as caught:
        s3(receiver.url("")).send(make_batch(), AT)
    assert "wrong region" in caught.value.reason
    assert len(receiver.got) == 1


def test_a_far_end_that_does_not_answer_is_tried_again():
    with pytest.raises(Temporary, match="connection_failed"):
        s3("http://127.0.0.1:1").send(make_batch(), AT)


def test_no_failure_tells_the_secret():
    assert EXAMPLE["secret_key"] not in repr(failed(xml(403, "SignatureDoesNotMatch")).__dict__)
