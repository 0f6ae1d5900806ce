"""S3, events of several hours in one batch: each object holds those of one hour, the same over every try."""

import gzip
import json
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from eventsinks.destinations.base import DestinationGone, Temporary
from eventsinks.destinations.s3.objects import make_batch_objects
from tests.destinations.aws.store import Store
from tests.destinations.aws.test_s3_stores import at
from tests.destinations.examples import AT, BATCH_ID, make_audit, make_audits, make_batch
from tests.destinations.test_s3 import s3, written, xml
from tests.helpers.receiver import Receiver

NAME = f"000000000007-{BATCH_ID}.json.gz"


def spread(*hours, **options):
    """Return a batch with one event in each of these hours of AT's day; its id says which it is."""
    return make_batch(
        *[
            make_audit(message_id=UUID(int=number + 1), id=str(number), occurred_at=AT.replace(hour=hour))
            for number, hour in enumerate(hours)
        ],
        **options,
    )


def in_bucket(bucket):
    """Return the ids in each object, by its folder."""
    found = {}
    for object in bucket.objects.all():
        folder = object.key.removeprefix("siem/netbird/").removesuffix(f"/{NAME}")
        lines = gzip.decompress(object.get()["Body"].read()).splitlines()
        found[folder] = [json.loads(line)["id"] for line in lines]
    return found


def keys(objects):
    return [object.key for object in objects]


def test_events_that_alternate_between_hours_become_one_object_an_hour_in_their_order(amazon):
    bucket = amazon.make_bucket()
    receipt = s3(amazon.url).send(spread(9, 8, 9, 23, 8, 9), AT)
    assert not receipt.failures
    assert in_bucket(bucket) == {
        "dt=2026-05-04/hour=08": ["1", "4"],
        "dt=2026-05-04/hour=09": ["0", "2", "5"],
        "dt=2026-05-04/hour=23": ["3"],
    }
    assert [listed["count"] for listed in receipt.stored] == [3, 2, 1]
    assert [listed["key"] for listed in receipt.stored] == [
        f"siem/netbird/dt=2026-05-04/hour={hour}/{NAME}" for hour in ("09", "08", "23")
    ]


def test_an_hour_ends_with_its_last_microsecond_and_is_told_in_utc():
    end = AT.replace(hour=10, minute=0, second=0, microsecond=0)
    moments = [
        end - timedelta(microseconds=1),
        end,
        datetime.fromisoformat("2026-05-04T23:59:59.999999+14:00"),  # 09:59 in UTC
        datetime.fromisoformat("0999-12-31T23:30:00-02:00"),
    ]
    audits = [make_audit(message_id=UUID(int=n + 1), occurred_at=moment) for n, moment in enumerate(moments)]
    assert keys(make_batch_objects(make_batch(*audits), "")) == [
        f"dt=2026-05-04/hour=09/{NAME}",
        f"dt=2026-05-04/hour=10/{NAME}",
        f"dt=1000-01-01/hour=01/{NAME}",
    ]


def test_ten_thousand_events_of_a_day_in_any_order_are_24_objects():
    day = [replace_hour(audit, number * 7 % 24) for number, audit in enumerate(make_audits(1_000))]
    objects = make_batch_objects(make_batch(*day * 10), "")
    assert len(objects) == 24
    assert sum(int(object.metadata["count"]) for object in objects) == 10_000


def replace_hour(audit, hour):
    audit.occurred_at = AT.replace(hour=hour)
    return audit


def test_what_is_left_of_a_batch_makes_the_very_same_objects():
    batch = spread(9, 8, 9, 23, 8)
    whole = {object.key: object for object in make_batch_objects(batch, "")}
    for hour in (8, 9, 23):
        left = replace(batch, messages=[m for m in batch.messages if m.occurred_at.hour == hour])
        (object,) = make_batch_objects(left, "")
        assert object == whole[object.key]


def test_a_batch_of_several_hours_that_is_sent_again_is_there_once(amazon):
    bucket = amazon.make_bucket()
    for _ in range(3):
        assert not s3(amazon.url).send(spread(9, 8, 9), AT).failures
    assert len(list(bucket.object_versions.all())) == 2


def only_hour(hour, said):
    """Return a far end that answers `said` to what is written into an hour, and takes all else."""
    return lambda got: said if f"hour%3D{hour:02}/" in got.path else written(got)


@pytest.mark.parametrize(
    ("said", "failure"), [(("503", "SlowDown"), Temporary), (("403", "AccessDenied"), DestinationGone)]
)
def test_an_hour_that_is_not_taken_fails_whole_and_the_others_are_told_of(said, failure):
    batch = spread(9, 8, 9, 8, 23)
    with Receiver(only_hour(8, xml(int(said[0]), said[1]))) as receiver:
        receipt = s3(receiver.url("")).send(batch, AT)
    assert set(receipt.failures) == {batch.messages[1].id, batch.messages[3].id}
    assert {type(why) for why in receipt.failures.values()} == {failure}
    assert [listed["count"] for listed in receipt.stored] == [2, 1]
    assert receipt.response.status == int(said[0])


def test_no_event_is_blamed_for_an_object_of_many():
    with Receiver(only_hour(8, xml(503, "SlowDown"))) as receiver:
        receipt = s3(receiver.url("")).send(spread(9, 8), AT)
    assert [why.response for why in receipt.failures.values()] == [None]


def test_the_pause_that_a_store_asks_for_is_kept_where_some_hours_are_taken():
    def slow(got):
        answer = xml(503, "SlowDown")
        return answer.replace(b"\r\n", b"\r\nRetry-After: 70\r\n", 1)

    with Receiver(lambda got: slow(got) if "hour%3D08/" in got.path else written(got)) as receiver:
        receipt = s3(receiver.url("")).send(spread(9, 8), AT)
    assert [why.retry_after for why in receipt.failures.values()] == [70.0]


def test_once_there_is_trouble_no_further_hours_are_begun():
    with Receiver(only_hour(3, xml(404, "NoSuchBucket"))) as receiver:
        batch = spread(*range(24))
        receipt = s3(receiver.url("")).send(batch, AT)
    assert set(receipt.failures) == {batch.messages[3].id, *(message.id for message in batch.messages[10:])}
    assert len(receiver.got) == 10


def test_a_lost_answer_to_one_hour_leaves_each_object_once():
    with Store(first=["lose"]) as store:
        for _ in range(2):
            at(store).send(spread(9, 8, 9, 23), AT)
        assert sorted(map(len, store.versions.values())) == [1, 1, 1]
