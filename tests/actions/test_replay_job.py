"""Replays of a sink: what they take, that each delivery comes once, and that a kill anywhere loses nothing."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks import tasks
from eventsinks.actions import configure
from eventsinks.actions.errors import NotConfigurable
from eventsinks.actions.replaying import replay_job
from eventsinks.actions.replaying.replay_job import ReplayUnderWay, cancel_replay, replay_step, work_off_replays
from eventsinks.models import Delivery, Destination, Event, Replay
from eventsinks.models.delivery import make_least_id
from tests.helpers.crowd import at_once
from tests.helpers.replays import preview, start

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def sink(make_webhook):
    return make_webhook()


@pytest.fixture
def make_failed(sink, make_alert):
    """Accept so many alerts, and let their deliveries fail."""

    def make(number=1):
        for _ in range(number):
            make_alert()
        ended = Delivery.objects.filter(destination=sink, state="pending")
        ended.update(state="failed", tries=10, reason="500", settled_at=timezone.now() - timedelta(seconds=1))

    return make


def states(sink):
    return sorted(Delivery.objects.filter(destination=sink).values_list("state", flat=True))


def told(code):
    """Return what the tenant was told under this activity code."""
    audit = [event.document for event in Event.objects.filter(type="audit").order_by("id")]
    return [document for document in audit if document["activity_code"] == code]


def deliver_all(sink):
    pending = Delivery.objects.filter(destination=sink, state="pending")
    pending.update(state="delivered", tries=1, settled_at=timezone.now())


def fail_all(sink):
    pending = Delivery.objects.filter(destination=sink, state="pending")
    pending.update(state="failed", tries=10, settled_at=timezone.now() + timedelta(seconds=1))


class TestReplaying:
    @pytest.mark.guarantee("R33")
    def test_what_failed_is_pending_again_with_a_fresh_set_of_tries_and_its_id(self, sink, make_failed):
        make_failed(3)
        ids = set(Delivery.objects.values_list("id", flat=True))
        made = start(sink, LONG_AGO)
        assert (made.counted, work_off_replays(), states(sink)) == (3, 3, ["pending"] * 3)
        assert set(Delivery.objects.values_list("id", "tries", "reason")) == {(id, 0, "") for id in ids}
        made.refresh_from_db()
        assert (made.replayed, made.state) == (3, "running")
        assert work_off_replays() == 0
        made.refresh_from_db()
        assert (made.replayed, made.state, made.ended_at is not None) == (3, "done", True)

    def test_it_is_a_chore_of_the_sweep(self, sink, make_failed, monkeypatch):
        make_failed()
        start(sink, LONG_AGO)
        monkeypatch.setattr(tasks, "drain", lambda: 0)
        tasks.sweep()
        assert states(sink) == ["pending"]

    def test_what_ends_after_it_was_made_is_not_replayed(self, sink, make_failed, make_alert):
        make_failed(2)
        make_alert()  # still pending: made in its stretch, and not counted
        made = start(sink, LONG_AGO)
        assert made.counted == 2
        fail_all(sink)
        assert (work_off_replays(), work_off_replays()) == (2, 0)
        assert states(sink) == ["failed", "pending", "pending"]

    def test_what_fails_again_is_not_replayed_twice(self, sink, make_failed, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 2)
        make_failed(5)
        start(sink, LONG_AGO)
        moved = []
        for _ in range(5):
            moved.append(work_off_replays())
            fail_all(sink)
        assert moved == [2, 2, 1, 0, 0]
        assert Replay.objects.get().state == "done"

    @pytest.mark.guarantee("R30")
    def test_never_more_than_was_counted(self, sink, make_failed):
        make_failed(3)
        start(sink, LONG_AGO)
        Replay.objects.update(counted=2)  # as if one had been settled while they were counted
        assert (work_off_replays(), work_off_replays()) == (2, 0)
        assert Replay.objects.get().state == "done"

    def test_what_somebody_else_replayed_meanwhile_is_left_out(self, sink, make_failed):
        make_failed(3)
        start(sink, LONG_AGO)
        Delivery.objects.filter(id=Delivery.objects.first().id).replay()
        assert (work_off_replays(), work_off_replays()) == (2, 0)
        made = Replay.objects.get()
        assert (made.counted, made.replayed, made.state) == (3, 2, "done")

    def test_another_sink_keeps_its_own(self, sink, make_failed, make_webhook):
        make_webhook("https://other.example.com/")
        make_failed()
        Delivery.objects.exclude(destination=sink).update(state="failed", settled_at=timezone.now())
        start(sink, LONG_AGO)
        work_off_replays()
        assert sorted(Delivery.objects.values_list("state", flat=True)) == ["failed", "pending"]

    def test_a_paused_sink_is_replayed_and_its_deliveries_wait(self, sink, make_failed):
        make_failed()
        configure.pause(sink)
        start(sink, LONG_AGO)
        assert (work_off_replays(), states(sink)) == (1, ["pending"])


class TestRoom:
    def test_it_waits_while_the_sink_has_much_open(self, sink, make_failed, make_alert, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 3)
        make_failed(5)
        make_alert()
        made = start(sink, LONG_AGO)
        assert (work_off_replays(), work_off_replays()) == (2, 0)
        assert Replay.objects.get().state == "running"
        deliver_all(sink)
        assert (work_off_replays(), work_off_replays()) == (3, 0)
        deliver_all(sink)
        assert work_off_replays() == 0
        made.refresh_from_db()
        assert (made.state, made.replayed) == ("done", 5)

    def test_where_one_message_a_second_is_taken_less_is_open(self, sink, make_failed, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN_AT_A_RATE_KEY", 1)
        make_failed(2)
        Destination.objects.update(rate_key="slack:T1:C1")
        start(sink, LONG_AGO)
        assert (work_off_replays(), work_off_replays()) == (1, 0)


class TestFilters:
    NOON = datetime(2026, 4, 20, 12, tzinfo=UTC)

    @pytest.fixture(autouse=True)
    def kept_for_ever(self, settings):
        """Let rows of that day be kept whenever the tests run."""
        settings.EVENTSINKS_KEEP_DAYS = {"detection_alert": 36_500}

    @pytest.mark.parametrize(
        ("since", "until", "wanted", "found"),
        [
            (0, 3, ["failed"], {0, 2}),
            (0, 3, ["delivered"], {1, 3}),
            (0, 3, ["failed", "delivered"], {0, 1, 2, 3}),
            (1, 2, ["delivered", "failed"], {1, 2}),
            (2, 2, ["failed"], {2}),
            (0.5, 0.9, ["failed"], set()),
            (2, None, ["failed", "delivered"], {2, 3}),
        ],
    )
    def test_both_ends_are_included(self, sink, make_failed, since, until, wanted, found):
        made = self.spread(sink, make_failed, 4)
        end = None if until is None else self.at(until)
        assert preview(sink, self.at(since), end, wanted) == (len(found), False)
        assert start(sink, self.at(since), end, wanted).counted == len(found)
        work_off_replays()
        moved = Delivery.objects.filter(state="pending").values_list("id", flat=True)
        assert {made.index(id) for id in moved} == found

    @settings(
        max_examples=40,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        since=st.integers(-8_000_000, 20_000_000),
        length=st.integers(0, 20_000_000) | st.just(0),
        wanted=st.lists(st.sampled_from(["failed", "delivered"]), min_size=1),
    )
    def test_a_preview_counts_what_a_person_would(self, sink, make_failed, since, length, wanted):
        if not Delivery.objects.exists():
            self.spread(sink, make_failed, 6)
        since, until = (self.at(ms / 3_600_000) for ms in (since, since + length))
        rows = Delivery.objects.all()
        fitting = [one for one in rows if since <= one.created_at <= until and one.state in wanted]
        assert preview(sink, since, until, wanted) == (len(fitting), False)

    def at(self, hours):
        return self.NOON + timedelta(hours=hours)

    def spread(self, sink, make_failed, number):
        """Make one delivery an hour, every other one delivered; return their ids."""
        make_failed(number)
        ids = []
        for hour, one in enumerate(Delivery.objects.order_by("id")):
            ids.append(uuid.UUID(int=make_least_id(self.at(hour)).int + 1))
            state = "delivered" if hour % 2 else "failed"
            Delivery.objects.filter(id=one.id).update(id=ids[-1], state=state)
        return ids

    @pytest.mark.parametrize(
        ("field", "fields"),
        [
            ("since", {"since": timezone.now() + timedelta(days=1)}),
            ("until", {"since": LONG_AGO, "until": LONG_AGO - timedelta(seconds=1)}),
            ("states", {"since": LONG_AGO, "states": []}),
            ("states", {"since": LONG_AGO, "states": ["suppressed"]}),
            ("states", {"since": LONG_AGO, "states": ["failed", "pending"]}),
        ],
    )
    def test_what_can_not_be_is_named(self, sink, field, fields):
        for ask in (start, preview):
            with pytest.raises(NotConfigurable) as raised:
                ask(sink, **fields)
            assert [error.field for error in raised.value.errors] == [field]
        assert not Replay.objects.exists()

    def test_an_end_in_the_future_is_now(self, sink):
        made = start(sink, LONG_AGO, datetime.max.replace(tzinfo=UTC))
        assert made.until <= timezone.now()


class TestItsLife:
    def test_one_at_a_time(self, sink, make_webhook):
        start(sink, LONG_AGO)
        with pytest.raises(ReplayUnderWay):
            start(sink, LONG_AGO)
        start(make_webhook(), LONG_AGO)
        work_off_replays()
        start(sink, LONG_AGO)
        assert Replay.objects.count() == 3

    @pytest.mark.guarantee("R30")
    def test_cancelled_what_was_replayed_stays_and_the_rest_is_not_touched(self, sink, make_failed, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 2)
        make_failed(3)
        made = start(sink, LONG_AGO)
        work_off_replays()
        assert (cancel_replay(made), cancel_replay(made)) == (True, False)
        deliver_all(sink)
        assert (work_off_replays(), replay_step(made), states(sink)) == (
            0,
            0,
            ["delivered", "delivered", "failed"],
        )
        made.refresh_from_db()
        assert (made.state, made.replayed) == ("cancelled", 2)

    def test_a_deleted_sink_ends_it(self, sink, make_failed):
        make_failed(2)
        start(sink, LONG_AGO)
        configure.delete(sink)
        assert (work_off_replays(), states(sink)) == (0, ["failed", "failed"])
        assert Replay.objects.get().state == "cancelled"

    def test_its_tenant_is_told_of_its_making_its_end_and_its_cancelling(self, sink, make_failed):
        make_failed(2)
        start(sink, LONG_AGO)
        work_off_replays()
        work_off_replays()
        cancel_replay(start(sink, LONG_AGO))
        assert [one["meta"]["deliveries"] for one in told("replay.create")] == ["2", "0"]
        (finished,), (cancelled,) = told("replay.finish"), told("replay.cancel")
        assert (finished["meta"]["replayed"], cancelled["meta"]["replayed"]) == ("2", "0")
        assert finished["meta"]["event_sink_id"] == str(sink.uuid)
        assert finished["activity"] == "Replay of an event sink finished"


class Killed(BaseException):
    """The process is gone: nothing catches it."""


def killed_before(statement, do):
    """Call `do` in a process that is gone before its `statement`th; return whether it came so far."""
    left = iter(range(statement))

    def wrapper(execute, sql, parameters, many, context):
        if next(left, None) is None and not sql.startswith("ROLLBACK"):
            raise Killed
        return execute(sql, parameters, many, context)

    try:
        with connection.execute_wrapper(wrapper):
            do()
    except Killed:
        return True
    return False


@pytest.mark.django_db(transaction=True)
class TestKills:
    @pytest.mark.guarantee("R30")
    def test_killed_between_any_two_statements_it_neither_loses_nor_doubles_a_step(
        self, sink, make_failed, monkeypatch
    ):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 2)
        make_failed(5)
        start(sink, LONG_AGO)
        moved, statement, kills = 0, 0, 0
        while Replay.objects.running().exists():
            before = states(sink), list(Replay.objects.values())
            if killed_before(statement, work_off_replays):
                assert (states(sink), list(Replay.objects.values())) == before
                statement, kills = statement + 1, kills + 1
            else:
                moved += states(sink).count("pending")
                fail_all(sink)
                statement = 0
        made = Replay.objects.get()
        assert (moved, made.replayed, made.counted, made.state) == (5, 5, 5, "done")
        assert kills > 15
        assert len(told("replay.finish")) == 1

    def test_killed_while_it_is_made_there_is_none(self, sink, make_failed):
        make_failed()
        statement = 0
        while killed_before(statement, lambda: start(sink, LONG_AGO)):
            assert not Replay.objects.exists()
            assert not told("replay.create")
            statement += 1
        assert statement > 3
        assert (Replay.objects.count(), len(told("replay.create"))) == (1, 1)

    def test_many_steps_at_once_replay_each_delivery_once(self, sink, make_failed, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 7)
        make_failed(20)
        start(sink, LONG_AGO)
        moved = []
        for _ in range(5):
            results = at_once(4, lambda index: work_off_replays())
            assert not [one for one in results if isinstance(one, Exception)]
            moved.append(sum(results))
            assert states(sink).count("pending") == moved[-1] <= 7
            fail_all(sink)
        assert sum(moved) == 20
        made = Replay.objects.get()
        assert (made.replayed, made.state) == (20, "done")
        assert len(told("replay.finish")) == 1

    def test_two_that_read_the_same_cursor_take_one_step(self, sink, make_failed, monkeypatch):
        monkeypatch.setattr(replay_job, "MOST_OPEN", 2)
        make_failed(4)
        start(sink, LONG_AGO)
        one, other = (Replay.objects.select_related("destination", "tenant").get() for _ in range(2))
        assert replay_step(one) == 2
        deliver_all(sink)
        assert (replay_step(other), states(sink)) == (0, ["delivered", "delivered", "failed", "failed"])
        assert Replay.objects.get().replayed == 2

    def test_many_that_start_one_at_once_make_one(self, sink):
        results = at_once(4, lambda index: start(sink, LONG_AGO))
        assert sum(isinstance(one, ReplayUnderWay) for one in results) == 3
        assert Replay.objects.count() == 1
