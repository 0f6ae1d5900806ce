"""S3, one object for each event: NetBird's names made unique, and one event's trouble is not another's."""

import json
from uuid import UUID

import pytest

from eventsinks.destinations.base import DestinationGone, Endpoints, EventRefused, Temporary
from tests.destinations.examples import (
    AT,
    MESSAGE_ID,
    assert_golden_data,
    in_shape,
    make_audit,
    make_audits,
    make_batch,
    make_message,
    make_traffic,
    make_type,
)
from tests.destinations.test_s3 import EXAMPLE, failed, written, xml
from tests.helpers.receiver import Receiver

EACH = {**EXAMPLE, "layout": "object_per_event", "prefix": ""}


def test_every_event_is_an_object_under_netbirds_name(amazon):
    bucket = amazon.make_bucket()
    taken = (make_audit(), make_traffic(message_id=UUID(int=2)), make_message(message_id=UUID(int=3)))
    messages = [in_shape("netbird", message) for message in taken]
    destination = make_type("s3", EACH, endpoints=amazon.endpoints)
    for _ in range(2):
        assert not destination.send(make_batch(*messages), AT).failures
    assert len(list(bucket.object_versions.all())) == 3
    found = {object.key: json.loads(object.get()["Body"].read()) for object in bucket.objects.all()}
    assert f"ID90210_2026-05-04-09-30-15_{MESSAGE_ID}.json" in found
    assert_golden_data("s3/object_per_event", found)


def test_what_was_accepted_goes_on_to_the_byte_under_the_same_name(amazon):
    bucket = amazon.make_bucket()
    raw = b'{ "id":"90210", "activity_code":"a.b",\n"n": 1.10 }'
    make_type("s3", EACH, endpoints=amazon.endpoints).send(make_batch(make_audit(raw=raw)), AT)
    (object,) = bucket.objects.all()
    assert object.key == f"ID90210_2026-05-04-09-30-15_{MESSAGE_ID}.json"
    assert object.get()["Body"].read() == raw


def test_two_events_of_one_id_and_second_are_two_objects(amazon):
    bucket = amazon.make_bucket()
    messages = [make_audit(id="0", message_id=UUID(int=number)) for number in range(25)]
    assert not make_type("s3", EACH, endpoints=amazon.endpoints).send(make_batch(*messages), AT).failures
    assert len(list(bucket.objects.all())) == 25


@pytest.mark.guarantee("S15")
@pytest.mark.parametrize("id", ["../../etc", "a/b", "x" * 500, "é\n", ""])
def test_no_id_of_an_event_leads_out_of_its_place(id):
    with Receiver(written) as receiver:
        make_type("s3", EACH, endpoints=Endpoints(aws=receiver.url(""))).send(make_batch(make_audit(id=id)), AT)
    path = receiver.got[0].path
    assert path.startswith("/acme-events/ID")
    assert path.count("/") == 2
    assert len(path) < 200


def test_an_event_in_another_schema_is_written_in_that(amazon):
    bucket = amazon.make_bucket()
    raw = b'{"class_uid":3004, "message":"Policy added"}'
    make_type("s3", EACH, endpoints=amazon.endpoints).send(make_batch(make_audit(raw=raw, mapping="ocsf")), AT)
    (object,) = bucket.objects.all()
    assert object.get()["Body"].read() == raw


def test_an_event_whose_name_is_taken_is_refused_alone(amazon):
    bucket = amazon.make_bucket()
    bucket.Object(f"ID90210_2026-05-04-09-30-15_{MESSAGE_ID}.json").put(Body=b"theirs")
    batch = make_batch(make_audit(), make_audit(message_id=UUID(int=2)))
    receipt = make_type("s3", EACH, endpoints=amazon.endpoints).send(batch, AT)
    assert [(id, type(failure)) for id, failure in receipt.failures.items()] == [(MESSAGE_ID, EventRefused)]
    assert receipt.response.status == 200


def test_trouble_stops_the_rest_which_waits_with_the_same_reason():
    def slow_down_after_ten(got):
        return written(got) if len(receiver.got) <= 10 else xml(503, "SlowDown")

    messages = make_audits(35)
    with Receiver(slow_down_after_ten) as receiver:
        receipt = make_type("s3", EACH, endpoints=Endpoints(aws=receiver.url(""))).send(make_batch(*messages), AT)
    assert set(receipt.failures) == {message.id for message in messages[10:]}
    assert {type(failure) for failure in receipt.failures.values()} == {Temporary}
    assert len(receiver.got) == 10 + 10 * 2  # boto3's own second try


def test_where_nothing_is_written_the_failure_is_the_whole_batchs():
    failed(xml(404, "NoSuchBucket"), EACH, expected=DestinationGone)


def test_events_as_objects_come_in_small_batches():
    assert make_type("s3", EACH).limits.max_events < make_type("s3").limits.max_events
