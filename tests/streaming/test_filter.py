"""Filters of integrations: what one does not want is passed by, and holds nothing up."""

from datetime import timedelta

import pytest

from eventsinks.actions.replaying.replay_stream import replay_stream
from eventsinks.destinations.base import BatchLimits
from eventsinks.models import Event, Position
from eventsinks.models.options import Options
from eventsinks.streaming.streamer import stream
from tests.helpers.streams import all_that_came, make_due, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]
WANTED = Options(filter='activity_code.startsWith("w")')


@pytest.fixture
def picky(far, integrate):
    far.limits = BatchLimits(max_events=2)
    return integrate(options=WANTED)


def test_only_what_is_wanted_goes_in_order_and_the_position_passes_the_rest(picky, far, log, outlet):
    ids = log("w1", "x", "x", "x", "x", "w2", "w3", "x", "w4", "x", "x", "x")
    stream(picky.id, outlet)
    assert all_that_came(far) == ["w1", "w2", "w3", "w4"]
    assert Position.objects.get().event_id == ids[-1]


def test_a_batch_holds_what_is_wanted_only_and_a_try_that_failed_sends_the_same(picky, far, log, outlet):
    log("w1", "x", "w2")
    sent = []

    def fail_once(batch):
        sent.append([text(message) for message in batch.messages])
        if len(sent) == 1:
            raise ConnectionError("once")
        return {}

    far.says = staticmethod(fail_once)
    stream(picky.id, outlet)
    make_due(picky)
    stream(picky.id, outlet)
    assert sent == [["w1"], ["w1"], ["w2"]]


def test_a_replay_is_filtered_too_and_ends(picky, far, log, outlet):
    log("x", "w1", "x", "x", "x", "w2", "x", "x", "x")
    stream(picky.id, outlet)
    far.got.clear()
    assert replay_stream(picky, Event.objects.order_by("id").first().received_at - timedelta(seconds=1))
    make_due(picky)
    stream(picky.id, outlet)
    assert all_that_came(far) == ["w1", "w2"]
    assert Position.objects.get().replay is None


def test_another_integration_of_the_tenant_hears_what_this_one_does_not_want(far, integrate, log, outlet):
    integrate(options=WANTED)
    other = integrate()
    log("x", "w1")
    stream(other.id, outlet)
    assert all_that_came(far) == ["x", "w1"]
