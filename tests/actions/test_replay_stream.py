"""Replaying a stretch of the log: it comes again, whole and once, and nothing else does."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from eventsinks.actions.replaying.replay_stream import StreamReplayUnderWay, replay_stream, stop_replay
from eventsinks.destinations.base import BatchLimits, Temporary
from eventsinks.models import Event, Position
from eventsinks.models.stream import LogPlace, find_due_positions
from eventsinks.streaming.streamer import stream
from tests.helpers.streams import (  # noqa: F401 - fixtures
    all_that_came,
    came,
    far,
    integrate,
    log,
    make_due,
    outlet,
    silent_audit,
    text,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]


@pytest.fixture
def days(far, integrate, log, outlet):  # noqa: F811
    """Return an integration that was sent 1, 2 and 3, received three, two and one days ago."""
    far.limits = BatchLimits(max_events=2)
    integration = integrate()
    for code in (1, 2, 3):
        (id,) = log(code)
        Event.objects.filter(id=id).update(received_at=Now() - timedelta(days=4 - code))
    stream(integration.id, outlet)
    assert all_that_came(far) == ["1", "2", "3"]
    far.got.clear()
    return integration


def ago(days):
    return timezone.now() - timedelta(days=days)


def stream_all(integration, outlet):  # noqa: F811
    make_due(integration)
    assert find_due_positions() == [integration.id]
    stream(integration.id, outlet)


@pytest.mark.parametrize(
    ("since", "until", "again"),
    [
        (3.5, None, ["1", "2", "3"]),
        (2.5, None, ["2", "3"]),
        (2.5, 1.5, ["2"]),
        (3.5, 1.5, ["1", "2"]),
        (0.5, None, []),
        (3.5, 3.2, []),
        (1.5, 2.5, []),
    ],
)
def test_what_was_received_in_between_comes_again(since, until, again, days, far, outlet):  # noqa: F811
    asked = replay_stream(days, ago(since), ago(until) if until else None)
    assert asked is bool(again)
    make_due(days)
    stream(days.id, outlet)
    assert all_that_came(far) == again


def test_the_position_stays_and_what_comes_after_comes_once(days, far, log, outlet):  # noqa: F811
    place = Position.objects.get().place
    replay_stream(days, ago(3.5), ago(1.5))
    assert Position.objects.get().place == place
    log(4)
    stream_all(days, outlet)
    log(5)
    stream_all(days, outlet)
    assert sorted(all_that_came(far)) == ["1", "2", "4", "5"]
    position = Position.objects.get()
    assert position.replay is None
    assert position.sent_events == 7


def test_what_is_new_does_not_wait_for_the_end_of_a_replay(days, far, log, outlet):  # noqa: F811
    far.limits = BatchLimits(max_events=1)
    replay_stream(days, ago(3.5))
    log(4, 5)
    stream_all(days, outlet)
    codes = all_that_came(far)
    assert sorted(codes) == ["1", "2", "3", "4", "5"]
    assert codes.index("4") < codes.index("3")


def test_what_was_not_sent_yet_is_not_sent_twice(days, far, log, outlet):  # noqa: F811
    log(4)
    replay_stream(days, ago(3.5))  # to where the stream stands, which is before 4
    stream_all(days, outlet)
    assert sorted(all_that_came(far)) == ["1", "2", "3", "4"]


def test_a_batch_under_way_is_finished_and_not_sent_twice_by_a_replay(days, far, log, outlet):  # noqa: F811
    far.says = staticmethod(lambda batch: {text(m): Temporary("later") for m in batch.messages})
    log(4)
    stream_all(days, outlet)
    replay_stream(days, ago(1.5))
    far.says = staticmethod(lambda batch: {})
    far.got.clear()
    stream_all(days, outlet)
    assert came(far) == [["4"], ["3"]]


@pytest.mark.guarantee("R30")
def test_a_crash_in_a_replay_goes_on_where_it_was(days, far, outlet):  # noqa: F811
    far.limits = BatchLimits(max_events=1)
    place = Position.objects.get().place
    replay_stream(days, ago(3.5))
    far.says = staticmethod(lambda batch: exec("raise KeyboardInterrupt") if len(far.got) == 2 else {})
    make_due(days)
    with pytest.raises(KeyboardInterrupt):
        stream(days.id, outlet)
    far.says = staticmethod(lambda batch: {})
    stream_all(days, outlet)
    assert all_that_came(far) == ["1", "2", "2", "3"]
    assert Position.objects.get().place == place


def test_only_one_replay_is_under_way_at_a_time(days):
    replay_stream(days, ago(3.5))
    with pytest.raises(StreamReplayUnderWay):
        replay_stream(days, ago(2.5))


def test_a_replay_can_be_called_off_and_the_position_stays(days, far, outlet):  # noqa: F811
    place = Position.objects.get().place
    assert stop_replay(days) is False
    replay_stream(days, ago(3.5))
    assert stop_replay(days) is True
    make_due(days)
    stream(days.id, outlet)
    assert came(far) == []
    assert Position.objects.get().place == place


def test_a_replay_that_is_called_off_while_a_batch_of_it_is_sent_does_not_move_the_position(days, far, outlet):  # noqa: F811
    place = Position.objects.get().place
    replay_stream(days, ago(3.5))

    def says(batch):
        stop_replay(days)
        return {}

    far.says = staticmethod(says)
    stream_all(days, outlet)
    assert came(far) == [["1", "2"]]
    assert Position.objects.get().place == place


def test_a_position_that_is_moved_forgets_its_replay(days):
    replay_stream(days, ago(3.5))
    Position.objects.move(days.id, LogPlace(0, 0))
    assert Position.objects.get().replay is None
