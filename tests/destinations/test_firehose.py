"""Firehose: limits hold to the byte, only what was not taken goes again, and each event ends its line."""

import base64
import json
from uuid import UUID

import pytest
from pydantic import ValidationError

from eventsinks.destinations.base import DestinationGone, Endpoints, EventRefused, Temporary, TooLarge
from eventsinks.destinations.firehose import MAX_RECORD, MAX_REQUEST, FirehoseConfig
from tests.destinations.conftest import REGION
from tests.destinations.examples import (
    AT,
    MESSAGE_ID,
    assert_golden_data,
    make_audit,
    make_audits,
    make_batch,
    make_traffic,
    make_type,
)
from tests.helpers.receiver import Receiver, answer

EXAMPLE = {
    "stream_name": "acme-events",
    "region": "eu-central-1",
    "access_key_id": "AKIAACMEEVENTS000001",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYacmeacme",
}


class Stream:
    """A far end that speaks Firehose: takes all records but those whose place is in `refuses`."""

    def __init__(self, *refuses, error=None, after=0):
        self.refuses, self.error, self.after = refuses, error, after
        self.requests = []

    def __call__(self, got):
        """Answer as Firehose does."""
        if self.error and len(self.requests) >= self.after:
            return self.error
        records = [base64.b64decode(record["Data"]) for record in json.loads(got.body)["Records"]]
        self.requests.append(records)
        results = [
            {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
            if place in self.refuses
            else {"RecordId": str(place)}
            for place in range(len(records))
        ]
        return answer(body=json.dumps({"FailedPutCount": len(self.refuses), "RequestResponses": results}).encode())


def error(code, status=400):
    said = {"__type": code, "message": "that is how it is"}
    return answer(status, [("x-amzn-errortype", code)], json.dumps(said).encode())


def sent(stream, *messages):
    """Send to the stream and return the receipt."""
    with Receiver(stream) as receiver:
        return make_type("firehose", endpoints=Endpoints(aws=receiver.url(""))).send(make_batch(*messages), AT)


def sized(size, number=1):
    """Return a message whose record has exactly this many bytes."""
    frame = len(b'{"x":""}\n')
    return make_audit(raw=b'{"x":"%s"}' % (b"p" * (size - frame)), message_id=UUID(int=number))


def test_a_batch_reaches_the_stream_line_by_line(amazon):
    bucket = amazon.make_bucket()
    amazon.make_stream()
    raw = b'{"id":"1",\r\n"big":123456789012345678901234567890}'
    batch = make_batch(make_traffic(), make_audit(raw=raw, message_id=UUID(int=4)))
    receipt = make_type("firehose", endpoints=amazon.endpoints).send(batch, AT)
    assert (receipt.response.status, receipt.failures) == (200, {})
    (object,) = bucket.objects.all()
    first, second = object.get()["Body"].read().splitlines()
    assert first == batch.messages[0].data
    assert json.loads(second) == json.loads(raw)


@pytest.mark.guarantee("P2")
def test_what_goes_over_the_wire_is_the_golden_one():
    with Receiver(Stream()) as receiver:
        make_type("firehose", endpoints=Endpoints(aws=receiver.url(""))).send(make_batch(), AT)
    (got,) = receiver.got
    body = json.loads(got.body)
    body["Records"] = [base64.b64decode(record["Data"]).decode() for record in body["Records"]]
    assert_golden_data("firehose/batch", {"target": got.header("x-amz-target"), "body": body})
    assert f"/{REGION}/firehose/aws4_request" in got.header("authorization")


@pytest.mark.guarantee("P2")
def test_only_the_records_that_were_not_taken_failed():
    receipt = sent(Stream(0, 2), *make_audits(4))
    assert set(receipt.failures) == {UUID(int=1), UUID(int=3)}
    for failure in receipt.failures.values():
        assert type(failure) is Temporary
        assert "ServiceUnavailableException" in failure.reason


@pytest.mark.guarantee("P2")
@pytest.mark.parametrize(("count", "requests"), [(499, [499]), (500, [500]), (501, [500, 1])])
def test_five_hundred_records_are_one_request_and_one_more_is_not(count, requests):
    stream = Stream()
    assert not sent(stream, *make_audits(count)).failures
    assert [len(records) for records in stream.requests] == requests


@pytest.mark.guarantee("P2")
@pytest.mark.parametrize(("extra", "requests"), [(-1, [5]), (0, [5]), (1, [4, 1])])
def test_four_mebibytes_are_one_request_and_one_byte_more_is_not(extra, requests):
    stream = Stream()
    whole = [sized(MAX_RECORD, number) for number in range(4)]
    rest = sized(MAX_REQUEST - 4 * MAX_RECORD + extra, 5)
    assert not sent(stream, *whole, rest).failures
    assert [len(records) for records in stream.requests] == requests
    assert all(sum(map(len, records)) <= 4 * 1024 * 1024 for records in stream.requests)


@pytest.mark.guarantee("P2")
@pytest.mark.parametrize(("extra", "refused"), [(-1, False), (0, False), (1, True)])
def test_a_record_of_a_thousand_kibibytes_is_taken_and_a_larger_one_refused_alone(extra, refused):
    stream = Stream()
    large, small = sized(1_000 * 1024 + extra), make_audit()
    receipt = sent(stream, large, small)
    assert sum(map(len, stream.requests)) == (1 if refused else 2)
    assert [type(failure) for failure in receipt.failures.values()] == ([EventRefused] if refused else [])
    assert MESSAGE_ID not in receipt.failures


def test_what_the_engine_may_hand_over_is_one_request():
    limits = make_type("firehose").limits
    stream = Stream()
    assert not sent(stream, sized(limits.max_event_bytes + 1)).failures  # the line's end
    messages = [make_audit(raw=b"[%s]" % (b"1" * 8_377), message_id=UUID(int=number)) for number in range(500)]
    assert limits.max_bytes - 5_000 < sum(len(message.data) for message in messages) <= limits.max_bytes
    assert not sent(stream, *messages).failures
    assert len(stream.requests) == 2


def test_a_request_with_nothing_that_fits_is_not_made():
    stream = Stream()
    assert len(sent(stream, sized(MAX_RECORD + 1)).failures) == 1
    assert stream.requests == []


def test_trouble_after_the_first_request_fails_only_what_was_not_taken():
    stream = Stream(3, error=error("ResourceNotFoundException"), after=1)
    receipt = sent(stream, *make_audits(600))
    assert len(receipt.failures) == 101
    assert type(receipt.failures[UUID(int=4)]) is Temporary
    assert type(receipt.failures[UUID(int=600)]) is DestinationGone
    assert receipt.response.status == 200


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ResourceNotFoundException", 400, DestinationGone),
        ("AccessDeniedException", 400, DestinationGone),
        ("UnrecognizedClientException", 400, DestinationGone),
        ("InvalidSignatureException", 400, DestinationGone),
        ("InvalidKMSResourceException", 400, DestinationGone),
        ("InvalidSourceException", 400, DestinationGone),
        ("InvalidArgumentException", 400, TooLarge),
        ("ServiceUnavailableException", 503, Temporary),
    ],
)
def test_an_error_says_what_to_do(code, status, expected):
    with pytest.raises(expected, match="that is how it is") as caught:
        sent(Stream(error=error(code, status)), *make_audits(2))
    assert type(caught.value) is expected
    assert caught.value.response.status == status


def test_an_argument_that_is_refused_alone_is_the_events_fault():
    with pytest.raises(EventRefused):
        sent(Stream(error=error("InvalidArgumentException")), make_audit())


@pytest.mark.parametrize("body", [b"{}", b"", b'{"RequestResponses":[{"RecordId":"1"}]}'])
def test_an_answer_that_does_not_name_every_record_is_no_success(body):
    with pytest.raises(Temporary, match="another number of records"):
        sent(lambda got: answer(body=body), *make_audits(2))


def test_a_stream_that_there_is_not_parks_the_destination(amazon):
    with pytest.raises(DestinationGone, match="no such stream"):
        make_type("firehose", endpoints=amazon.endpoints).send(make_batch(), AT)


def test_the_target_is_the_stream():
    assert make_type("firehose").target() == "acme-events"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "x" * 65])
def test_what_is_no_name_of_a_stream_is_refused(name):
    with pytest.raises(ValidationError):
        FirehoseConfig.model_validate({**EXAMPLE, "stream_name": name})
