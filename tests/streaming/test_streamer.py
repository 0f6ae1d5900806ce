"""Streams: an integration gets its tenant's events in order, batch by batch, and nothing is lost or said twice."""

import gzip
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.destinations.base import (
    BatchLimits,
    DestinationGone,
    EventRefused,
    Receipt,
    Temporary,
    TooLarge,
)
from eventsinks.destinations.datadog import Datadog
from eventsinks.intake import audit
from eventsinks.lib.net.wire import Response
from eventsinks.models import Batch, Delivery, Destination, Event, Position
from eventsinks.models.stream import (
    LogPlace,
    find_due_positions,
    find_end_of_log,
    find_moment_of_log,
    get_beginning,
)
from eventsinks.streaming import streamer as streaming
from eventsinks.streaming.settle_batch import LONGEST_PAUSE, choose_pause
from eventsinks.streaming.streamer import make_message_id, stream
from tests.destinations.conftest import amazon, moto  # noqa: F401 - fixtures
from tests.helpers.receiver import Receiver, answer
from tests.helpers.streams import all_that_came, came, make_due, pause_of, stored
from tests.helpers.visible import visible

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]


# --- What a batch holds ---------------------------------------------------------------------------


@pytest.mark.guarantee("R26")
@pytest.mark.parametrize(("count", "batches"), [(2, [2]), (3, [3]), (4, [3, 1])])
def test_a_batch_holds_at_most_so_many_events(count, batches, far, integrate, log, outlet):
    integration = integrate()
    log(*range(count))
    assert stream(integration.id, outlet) == len(batches)
    assert list(map(len, came(far))) == batches


@pytest.mark.guarantee("R26")
@pytest.mark.parametrize(("room", "batches"), [(1, [2, 1]), (0, [2, 1]), (-1, [1, 1, 1])])
def test_a_batch_holds_at_most_so_many_bytes(room, batches, far, integrate, log, outlet):
    integration = integrate()
    log("a", "b", "c", size=500)
    size = len(Event.objects.latest("id").data) + 1  # with the line's end
    far.limits = BatchLimits(max_events=10, max_bytes=2 * size + room)
    stream(integration.id, outlet)
    assert list(map(len, came(far))) == batches


def test_a_full_batch_does_not_linger_and_another_waits_for_more(far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=3, linger=30.0)
    integration = integrate()
    log(1, 2)
    assert stream(integration.id, outlet) == 0
    assert 20 < pause_of(integration) <= 30.5
    log(3)
    make_due(integration)
    stream(integration.id, outlet)
    assert came(far) == [["1", "2", "3"]]


@pytest.mark.guarantee("R26")
@pytest.mark.parametrize(("age", "sent"), [(29, 0), (30, 1), (31, 1)])
def test_what_has_lingered_long_enough_is_sent_though_it_is_little(age, sent, far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=3, linger=30.0)
    integration = integrate()
    log(1)
    Event.objects.update(received_at=Now() - timedelta(seconds=age))
    assert stream(integration.id, outlet) == sent


@pytest.mark.guarantee("R32")
def test_a_worker_whose_clock_is_a_day_off_lingers_no_other(far, integrate, log, outlet, monkeypatch):
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=1)

    far.limits = BatchLimits(max_events=3, linger=30.0)
    integration = integrate()
    monkeypatch.setattr(streaming, "datetime", Tomorrow)
    log(1)
    assert stream(integration.id, outlet) == 0
    assert 20 < pause_of(integration) <= 30.5


def test_events_come_in_the_order_of_the_log_and_batches_are_counted(far, integrate, log, outlet):
    integration = integrate()
    log(*range(10))
    stream(integration.id, outlet)
    assert all_that_came(far) == list(map(str, range(10)))
    assert [batch.number for batch in far.got] == [1, 2, 3, 4]
    assert list(Batch.objects.order_by("number").values_list("state", "count", "members")) == [
        *([("sent", 3, [])] * 3),
        ("sent", 1, []),
    ]
    assert stored(integration).sent_events == 10
    assert stored(integration).event_id == Event.objects.latest("id").id


@pytest.mark.guarantee("R15")
def test_an_event_has_the_same_id_at_an_integration_over_every_try(far, integrate, log, outlet):
    integration = integrate()
    (event,) = log(1)
    stream(integration.id, outlet)
    Position.objects.move(integration.id, get_beginning())
    stream(integration.id, outlet)
    ids = {message.id for batch in far.got for message in batch.messages}
    assert ids == {make_message_id(integration.id, event)}


def test_an_integration_hears_only_what_it_hears_and_does_not_look_at_the_rest_again(far, integrate, log, outlet):
    integration = integrate()
    log("x", "y", type="detection_alert")
    assert find_due_positions() == [integration.id]
    assert stream(integration.id, outlet) == 0
    assert far.got == []
    assert stored(integration).event_id == Event.objects.latest("id").id
    assert find_due_positions() == []
    log(1)
    stream(integration.id, outlet)
    assert came(far) == [["1"]]


def test_a_mapping_is_applied(far, integrate, log, outlet):
    far.says = staticmethod(lambda batch: {})
    seen = []
    far.send = lambda self, batch, at: seen.extend(batch.messages) or Receipt()
    integration = integrate()
    Destination.objects.filter(id=integration.id).update(mapping="netbird")
    log("user.join")
    stream(integration.id, outlet)
    assert set(json.loads(seen[0].data)) >= {"initiator_id", "target_id", "message", "meta"}


def test_an_event_that_a_mapping_stumbles_over_becomes_a_dead_letter(far, integrate, log, outlet, monkeypatch):
    class Stumbling:
        def written(self, type_, data, occurred_at):
            return {}["nothing"] if b'"2"' in data else data

    monkeypatch.setattr(streaming, "mapping", lambda key: Stumbling())
    integration = integrate()
    log(1, 2, 3)
    stream(integration.id, outlet)
    assert came(far) == [["1", "3"]]
    assert "could not be put into the form" in Delivery.objects.get(state="failed").reason


# --- Membership is saved before anything is sent ----------------------------------------------------


class PowerCut(BaseException):
    """The process is gone: nothing catches it."""


@pytest.mark.guarantee("R27")
def test_a_crash_while_sending_leaves_the_batch_and_the_next_run_sends_the_same(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2)

    def cut(batch):
        assert list(Batch.objects.values_list("state", "id", "number")) == [("open", batch.id, batch.number)]
        raise PowerCut

    far.says = staticmethod(cut)
    with pytest.raises(PowerCut):
        stream(integration.id, outlet)
    far.says = staticmethod(lambda batch: {})
    log(3)  # there was room for it
    assert stream(integration.id, outlet) == 0  # the dead worker's lease is still running
    make_due(integration)
    stream(integration.id, outlet)
    assert came(far) == [["1", "2"], ["1", "2"], ["3"]]
    first, second, _ = far.got
    assert (first.id, first.number) == (second.id, second.number)
    assert [m.id for m in first.messages] == [m.id for m in second.messages]
    assert [m.data for m in first.messages] == [m.data for m in second.messages]


@pytest.mark.guarantee("R27")
def test_a_crash_after_sending_and_before_settling_sends_the_same_again(far, integrate, log, outlet, monkeypatch):
    integration = integrate()
    log(1)

    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "settle_batch", cut)
        with pytest.raises(PowerCut):
            stream(integration.id, outlet)
    make_due(integration)
    stream(integration.id, outlet)
    assert came(far) == [["1"], ["1"]]
    assert len({batch.id for batch in far.got}) == 1


# --- What goes wrong --------------------------------------------------------------------------------


def test_a_temporary_failure_is_tried_again_ever_more_slowly_and_never_given_up(far, integrate, log, outlet):
    integration = integrate()
    log(1)

    def down(batch):
        raise Temporary("down")

    far.says = staticmethod(down)
    for tries in range(1, 40):
        make_due(integration)
        assert stream(integration.id, outlet) == 0
        least = min(2 ** (tries - 1), LONGEST_PAUSE)
        assert least - 2 < pause_of(integration) <= least * 1.2 + 1
    batch = Batch.objects.get()
    assert (batch.state, batch.tries, batch.reason) == ("open", 39, "down")
    assert not Delivery.objects.exists()
    far.says = staticmethod(lambda batch: {})
    make_due(integration)
    assert stream(integration.id, outlet) == 1
    assert set(all_that_came(far)) == {"1"}


def test_a_pause_has_an_end():
    assert LONGEST_PAUSE <= choose_pause(10_000) <= LONGEST_PAUSE * 1.2


@pytest.mark.guarantee("R11")
def test_streams_that_failed_together_do_not_come_back_together():
    pauses = [choose_pause(3) for _ in range(200)]
    assert 4.0 <= min(pauses) < 4.4 < max(pauses) <= 4.8


@pytest.mark.guarantee("R12")
def test_a_pause_that_the_far_end_asks_for_is_kept(far, integrate, log, outlet):
    integration = integrate()
    log(1)

    def busy(batch):
        raise Temporary("busy", retry_after=1_000.0)

    far.says = staticmethod(busy)
    stream(integration.id, outlet)
    assert 990 < pause_of(integration) <= 1_001


@pytest.mark.guarantee("R27")
def test_of_a_partial_failure_only_what_failed_goes_again(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2, 3, 4)
    far.says = staticmethod(lambda batch: {"2": Temporary("throttled")} if len(far.got) == 1 else {})
    assert stream(integration.id, outlet) == 0
    assert came(far) == [["1", "2", "3"]]
    make_due(integration)
    stream(integration.id, outlet)
    assert came(far) == [["1", "2", "3"], ["2"], ["4"]]
    assert (far.got[0].id, far.got[0].number) == (far.got[1].id, far.got[1].number)


def test_what_is_too_large_goes_in_halves(far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=8)
    integration = integrate()

    def at_most_two(batch):
        if len(batch.messages) > 2:
            raise TooLarge("too large")
        return {}

    far.says = staticmethod(at_most_two)
    log(*range(8))
    stream(integration.id, outlet)
    taken = [batch for batch in came(far) if len(batch) <= 2]
    assert [code for batch in taken for code in batch] == list(map(str, range(8)))
    assert not Delivery.objects.exists()
    assert not Batch.objects.filter(state="open").exists()


@pytest.mark.guarantee("R26")
def test_an_event_larger_than_the_type_takes_becomes_a_dead_letter_and_the_stream_goes_on(
    far, integrate, log, outlet
):
    far.limits = BatchLimits(max_events=3, max_bytes=10_000, max_event_bytes=1_000)
    integration = integrate()
    log("before")
    log("large", size=2_000)
    log("after")
    stream(integration.id, outlet)
    assert came(far) == [["before", "after"]]
    failed = Delivery.objects.get()
    assert (failed.state, failed.destination_id) == ("failed", integration.id)
    assert "larger than the 1000 bytes" in failed.reason


@pytest.mark.guarantee("R26")
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_limit_of_one_event_is_where_it_says(over, far, integrate, log, outlet):
    integration = integrate()
    log("x", size=100)
    far.limits = BatchLimits(max_events=3, max_event_bytes=len(Event.objects.get().data) - over)
    stream(integration.id, outlet)
    assert (len(far.got), Delivery.objects.filter(state="failed").count()) == ((0, 1) if over > 0 else (1, 0))


@pytest.mark.guarantee("R26")
def test_an_event_larger_than_a_whole_batch_goes_alone(far, integrate, log, outlet):
    far.limits = BatchLimits(max_events=3, max_bytes=1_000)
    integration = integrate()
    log("a")
    log("large", size=2_000)
    log("b")
    stream(integration.id, outlet)
    assert came(far) == [["a"], ["large"], ["b"]]


def try_apart(integration, outlet):
    """Try what was refused among others once more, as if its pause were over."""
    Delivery.objects.filter(state="pending").update(due_at=Now() - timedelta(seconds=1))
    stream(integration.id, outlet)


@pytest.mark.guarantee("R33")
def test_a_refused_event_is_visible_replayable_and_then_sent(far, integrate, log, outlet):
    integration = integrate()
    (_, bad, _, _) = log(1, 2, 3, 4)
    far.says = staticmethod(lambda batch: {"2": EventRefused("no such code", Response(400, [], b""))})
    stream(integration.id, outlet)
    assert all_that_came(far) == ["1", "2", "3", "4"]
    assert Delivery.objects.get().state == "pending"  # it is asked for once more, on its own
    try_apart(integration, outlet)
    failed = Delivery.objects.get()
    assert (failed.state, failed.event_id, failed.reason, failed.status) == ("failed", bad, "no such code", 400)
    assert find_due_positions() == []

    far.says = staticmethod(lambda batch: {})
    assert Delivery.objects.filter(id=failed.id).replay() == 1
    assert find_due_positions() == [integration.id]
    stream(integration.id, outlet)
    assert came(far)[-1] == ["2"]
    assert far.got[-1].messages[0].id == make_message_id(integration.id, bad)
    failed.refresh_from_db()
    assert failed.state == "delivered"
    assert find_due_positions() == []


def test_what_is_replayed_is_mapped_too(far, integrate, log, outlet):
    integration = integrate()
    log("user.join")
    far.says = staticmethod(lambda batch: {"user.join": EventRefused("no")})
    stream(integration.id, outlet)
    Destination.objects.filter(id=integration.id).update(mapping="netbird")
    seen = []
    far.send = lambda self, batch, at: seen.extend(batch.messages) or Receipt()
    Delivery.objects.replay()
    stream(integration.id, outlet)
    assert "initiator_id" in json.loads(seen[0].data)


def test_a_replayed_event_that_finds_the_destination_gone_parks_it_and_waits(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    far.says = staticmethod(lambda batch: {"1": EventRefused("no")})
    stream(integration.id, outlet)
    far.says = staticmethod(gone)
    Delivery.objects.replay()
    assert stream(integration.id, outlet) == 0
    assert len(far.got) == 2
    assert Destination.objects.get(id=integration.id).state == "parked"
    assert Delivery.objects.get().state == "pending"
    far.says = staticmethod(lambda batch: {})
    configure.resume(integration)
    stream(integration.id, outlet)
    assert Delivery.objects.get().state == "delivered"


def test_a_fault_in_a_type_holds_up_its_stream_and_says_so(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    far.says = staticmethod(lambda batch: 1 / 0)
    assert stream(integration.id, outlet) == 0
    assert "division by zero" in Batch.objects.get(state="open").reason
    assert pause_of(integration) < 3


def gone(batch):
    raise DestinationGone("the bucket is gone")


def test_a_destination_that_is_gone_is_disabled_and_its_repair_resumes_with_nothing_lost(
    far, integrate, log, outlet
):
    integration = integrate()
    log(1, 2)
    far.says = staticmethod(gone)
    assert stream(integration.id, outlet) == 0
    parked = Destination.objects.get(id=integration.id)
    assert (parked.state, parked.state_reason) == ("parked", "the bucket is gone")
    log(3, 4)
    make_due(integration)
    assert find_due_positions() == []
    assert stream(integration.id, outlet) == 0
    assert len(far.got) == 1
    far.says = staticmethod(lambda batch: {})
    configure.change(parked, {})
    assert find_due_positions() == [integration.id]  # at once
    stream(integration.id, outlet)
    assert came(far) == [["1", "2"], ["1", "2"], ["3", "4"]]


def test_a_configuration_that_can_not_be_read_parks_it(far, integrate, log, outlet, settings):
    integration = integrate()
    log(1)
    Destination.objects.filter(id=integration.id).update(sealed_signing_secret="nonsense")
    assert stream(integration.id, outlet) == 0
    assert Destination.objects.get(id=integration.id).state == "parked"


@pytest.mark.guarantee("R21")
def test_a_pause_keeps_the_position_and_resuming_goes_on_at_once(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    stream(integration.id, outlet)
    configure.pause(integration)
    log(2, 3)
    assert stream(integration.id, outlet) == 0
    assert find_due_positions() == []
    configure.resume(integration)
    stream(integration.id, outlet)
    assert came(far) == [["1"], ["2", "3"]]


def test_resuming_ends_the_pause_after_a_failure(far, integrate, log, outlet):
    integration = integrate()
    log(1)

    def busy(batch):
        raise Temporary("busy", retry_after=1_000.0)

    far.says = staticmethod(busy)
    stream(integration.id, outlet)
    configure.pause(integration)
    configure.resume(integration)
    assert find_due_positions() == [integration.id]


def test_one_that_is_held_back_waits(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    Destination.objects.filter(id=integration.id).update(held_until=Now() + timedelta(hours=1))
    assert find_due_positions() == []
    assert stream(integration.id, outlet) == 0


@pytest.mark.guarantee("R25")
def test_a_worker_that_is_told_to_stop_starts_no_further_batch(far, integrate, log, outlet):
    integration = integrate()
    log(*range(9))
    assert stream(integration.id, outlet, lambda: len(far.got) == 2) == 2
    assert stored(integration).lease is None
    stream(integration.id, outlet)
    assert all_that_came(far) == list(map(str, range(9)))


# --- Several workers --------------------------------------------------------------------------------


@pytest.mark.guarantee("R10")
def test_two_workers_never_send_to_the_same_integration_at_once(far, integrate, log, outlet):
    integration = integrate()
    log(*range(30))
    busy, overlaps = threading.Lock(), []

    def slowly(batch):
        if not busy.acquire(blocking=False):
            overlaps.append(batch)
        else:
            time.sleep(0.01)
            busy.release()
        return {}

    far.says = staticmethod(slowly)

    def work():
        try:
            while stored(integration).sent_events < 30:
                stream(integration.id, outlet)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert overlaps == []
    assert all_that_came(far) == list(map(str, range(30)))


@pytest.mark.guarantee("R6")
def test_a_worker_that_lost_its_lease_settles_nothing(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2, 3)

    def lose(batch):
        make_due(integration)
        other = Position.objects.lease(integration.id, 60)
        assert other is not None
        return {"2": EventRefused("no")}

    far.says = staticmethod(lose)
    assert stream(integration.id, outlet) == 0
    batch = Batch.objects.get()
    assert (batch.state, len(batch.members), batch.tries) == ("open", 3, 0)
    assert not Delivery.objects.exists()
    assert stored(integration).sent_events == 0
    assert stored(integration).lease is not None  # the other's


def test_a_position_that_was_moved_meanwhile_is_not_moved_on(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2)

    def move(batch):
        if len(far.got) == 1:
            Position.objects.move(integration.id, get_beginning())
        return {}

    far.says = staticmethod(move)
    assert stream(integration.id, outlet) == 0
    assert stored(integration).place == get_beginning()
    stream(integration.id, outlet)
    assert came(far) == [["1", "2"], ["1", "2"]]
    assert far.got[0].id != far.got[1].id


# --- Where it stands --------------------------------------------------------------------------------


def test_a_new_integration_hears_what_comes_from_now_on(far, integrate, log, outlet):
    log("old")
    integration = integrate()
    assert stream(integration.id, outlet) == 0
    log("new")
    stream(integration.id, outlet)
    assert came(far) == [["new"]]


def test_a_new_integration_may_begin_at_the_beginning(far, integrate, log, outlet):
    log("old")
    integration = integrate(start=get_beginning())
    log("new")
    stream(integration.id, outlet)
    assert all_that_came(far) == ["old", "new"]


@pytest.mark.guarantee("S20")
def test_an_integration_hears_of_its_own_making(far, integrate, silent_audit, acme, outlet, monkeypatch):
    monkeypatch.setattr(audit, "record_destination", silent_audit)
    integration = integrate()
    visible(acme)
    stream(integration.id, outlet)
    assert came(far) == [["integration.create"]]


def test_everything_is_sent_again_from_the_beginning(far, integrate, log, outlet):
    integration = integrate()
    log(1, 2)
    stream(integration.id, outlet)
    Position.objects.move(integration.id, get_beginning())
    stream(integration.id, outlet)
    assert came(far) == [["1", "2"], ["1", "2"]]
    assert len({(batch.id, batch.number) for batch in far.got}) == 2  # it is another batch


def test_what_was_received_since_a_moment_is_sent_again(far, integrate, log, outlet, acme, globex):
    integration = integrate()
    (old,) = log("old")
    log("new", "newer")
    log("another's", tenant=globex)
    Event.objects.filter(id=old).update(received_at=Now() - timedelta(days=2))
    stream(integration.id, outlet)
    far.got.clear()
    Position.objects.move(integration.id, find_moment_of_log(acme.id, datetime.now(UTC) - timedelta(days=1)))
    stream(integration.id, outlet)
    assert all_that_came(far) == ["new", "newer"]
    assert isinstance(find_moment_of_log(acme.id, datetime.now(UTC) + timedelta(days=1)), LogPlace)


def test_a_backlog_can_be_left_behind(far, integrate, log, outlet):
    integration = integrate()
    log("never", "wanted")
    Position.objects.move(integration.id, find_end_of_log())
    log("wanted")
    stream(integration.id, outlet)
    assert came(far) == [["wanted"]]


def test_a_tenant_s_events_go_to_its_own_integrations_only(far, integrate, log, outlet, acme, globex):
    ours, theirs = integrate(), integrate(tenant=globex)
    log("acme 1")
    log("globex 1", tenant=globex)
    log("acme 2")
    stream(theirs.id, outlet)
    assert came(far) == [["globex 1"]]
    far.got.clear()
    stream(ours.id, outlet)
    assert came(far) == [["acme 1", "acme 2"]]


def test_one_integration_s_trouble_is_not_another_s(far, integrate, log, outlet):
    parked, other = integrate(), integrate()
    log(1)
    far.says = staticmethod(gone)
    stream(parked.id, outlet)
    far.says = staticmethod(lambda batch: {})
    assert find_due_positions() == [other.id]
    assert stream(other.id, outlet) == 1


def test_a_deleted_integration_is_sent_nothing(far, integrate, log, outlet):
    integration = integrate()
    log(1)
    configure.delete(integration)
    assert find_due_positions() == []
    assert stream(integration.id, outlet) == 0


# --- Over the wire ----------------------------------------------------------------------------------


class Picky:
    """A Datadog that refuses every request with an event that it does not like."""

    def __init__(self, dislikes=(), most=1000):
        self.dislikes, self.most = dislikes, most
        self.taken = []

    def __call__(self, got):
        codes = [item["event"]["activity_code"] for item in json.loads(gzip.decompress(got.body))]
        if len(codes) > self.most:
            return answer(413)
        if set(codes) & set(self.dislikes):
            return answer(400, body=b'{"errors": [{"detail": "bad log"}]}')
        self.taken += codes
        return answer(202)


@pytest.fixture
def datadog(integrate):
    with Receiver() as receiver:
        config = {"api_key": "k", "api_url": receiver.url("/api/v2/logs")}
        yield receiver, integrate("datadog", config)


def test_the_one_event_that_datadog_refuses_is_found_by_halving(datadog, log, outlet, monkeypatch):
    monkeypatch.setattr(Datadog, "limits", BatchLimits(max_events=100))
    receiver, integration = datadog
    receiver.answers = picky = Picky(["37"])
    ids = log(*range(100))
    stream(integration.id, outlet)
    assert picky.taken == [str(number) for number in range(100) if number != 37]
    try_apart(integration, outlet)
    failed = Delivery.objects.get()
    assert (failed.event_id, failed.state, failed.status) == (ids[37], "failed", 400)
    assert "bad log" in failed.reason
    picky.dislikes = ()
    Delivery.objects.replay()
    stream(integration.id, outlet)
    assert Counter(picky.taken) == Counter(map(str, range(100)))


@pytest.mark.guarantee("R27")
def test_a_413_splits_the_batch(datadog, log, outlet, monkeypatch):
    monkeypatch.setattr(Datadog, "limits", BatchLimits(max_events=100))
    receiver, integration = datadog
    receiver.answers = picky = Picky(most=10)
    log(*range(100))
    stream(integration.id, outlet)
    assert picky.taken == list(map(str, range(100)))
    assert not Delivery.objects.exists()


def test_retry_after_of_datadog_is_kept(datadog, log, outlet):
    receiver, integration = datadog
    receiver.answers = lambda got: answer(429, [("Retry-After", "77")])
    log(1)
    Event.objects.update(received_at=Now() - timedelta(minutes=1))
    stream(integration.id, outlet)
    assert 70 < pause_of(integration) <= 78


def test_events_of_one_request_each_go_several_at_once_and_only_what_failed_goes_again(integrate, log, outlet):
    refused = Counter()

    def answers(got):
        id = got.header("webhook-id")
        if got.body.find(b'"3"') >= 0 and not refused[id]:
            refused[id] += 1
            return answer(503)
        return answer()

    with Receiver(answers) as receiver:
        integration = integrate("generic_http", {"url": receiver.url()})
        for number in range(6):
            log(number)
        with_three = make_message_id(integration.id, Event.objects.order_by("id")[3].id)
        receiver.answers = lambda got: (
            answer(503) if got.header("webhook-id") == str(with_three) and len(receiver.got) <= 6 else answer()
        )
        assert stream(integration.id, outlet) == 1
        try_apart(integration, outlet)
        assert receiver.ids() == Counter(
            {str(make_message_id(integration.id, event.id)): 1 for event in Event.objects.all()}
            | {str(with_three): 2}
        )


def test_what_an_earlier_batch_left_in_the_way_out_is_no_answer_to_the_next(integrate, log):
    class Late:
        """A world whose first answer comes when the engine waits for the second."""

        in_flight = 0
        rested = 0.0

        def __init__(self):
            self.started, self.rounds = [], 0

        def start(self, request, token):
            self.started.append(token)

        def poll(self, wait):
            stale, *mine = self.started
            return [(stale, Response(200, [], b"")), *[(token, Response(503, [], b"")) for token in mine]]

        def wake(self):
            pass

        def close(self):
            pass

    world = Late()
    world.started.append(0)  # as the first request of any batch was once called
    integration = integrate("generic_http", {"url": "http://127.0.0.1:2/"})
    log(1)
    assert stream(integration.id, world) == 0
    assert Batch.objects.get().state == "open"


# --- Into Amazon, as moto plays it --------------------------------------------------------------------

KEYS = {"region": "eu-central-1", "access_key": "AKIAEXAMPLE", "secret_key": "secret"}


def lines(bucket):
    """Return the codes in every object, in the order of their names."""
    return [
        json.loads(line)["activity_code"]
        for found in bucket.objects.all()
        for line in gzip.decompress(found.get()["Body"].read()).splitlines()
    ]


def test_a_batch_becomes_one_object_of_s3_however_often_it_is_sent(
    amazon,  # noqa: F811
    integrate,
    log,
    outlet,
    settings,
    monkeypatch,
):
    settings.AWS_ENDPOINT_URL = amazon.url
    bucket = amazon.make_bucket()
    integration = integrate("s3", {"bucket_name": "acme-events", **KEYS})
    log(*range(20))
    Event.objects.update(received_at=Now() - timedelta(minutes=1))

    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "settle_batch", cut)
        for _ in range(3):
            make_due(integration)
            with pytest.raises(PowerCut):
                stream(integration.id, outlet)
    make_due(integration)
    assert stream(integration.id, outlet) == 1
    assert lines(bucket) == list(map(str, range(20)))
    assert len(list(bucket.object_versions.all())) == 1


@pytest.mark.guarantee("R27")
def test_of_a_partial_failure_of_firehose_only_the_failed_records_go_again(integrate, log, outlet, monkeypatch):
    from eventsinks.lib.net import aws

    puts = []

    def call(self, operation, **arguments):
        records = [json.loads(record["Data"])["activity_code"] for record in arguments["Records"]]
        puts.append(records)
        failing = {"1", "3"} if len(puts) == 1 else set()
        failed = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
        return {
            "FailedPutCount": len(failing),
            "RequestResponses": [failed if record in failing else {"RecordId": "r"} for record in records],
            "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}},
        }

    monkeypatch.setattr(aws.Client, "call", call)
    integration = integrate("firehose", {"stream_name": "s", **KEYS})
    log(*range(5))
    Event.objects.update(received_at=Now() - timedelta(minutes=1))
    assert stream(integration.id, outlet) == 0
    make_due(integration)
    assert stream(integration.id, outlet) == 1
    assert puts == [["0", "1", "2", "3", "4"], ["1", "3"]]
