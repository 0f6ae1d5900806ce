"""Fallback sinks and heartbeat tests."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.errors import NotConfigurable
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Destination
from eventsinks.models.delivery import make_least_id
from eventsinks.models.options import Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.hold import park
from eventsinks.sweeping.fall_back import fall_back_everywhere
from eventsinks.sweeping.heartbeat import send_heartbeats
from tests.helpers.counts import audit_account
from tests.helpers.crowd import at_once
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db

DOWN, UP = "https://down.example.com/", "https://up.example.com/"


def answers(request):
    return Response(200 if request.url == UP else 500, [], b"")


@pytest.fixture
def pair(make_webhook):
    """Return a sink that is down, and its fallback, which is up."""
    up = make_webhook(UP, name="up", options=Options(event_types=[]))
    options = Options.model_validate(
        {"fallback": {"event_sink_id": str(up.uuid), "after_failures": 2, "after_s": 60}}
    )
    return make_webhook(DOWN, name="down", options=options), up


def try_until(world, tries):
    """Let the engine try what is due so often, without waiting."""
    for _ in range(tries):
        Delivery.objects.filter(state="pending").update(due_at=timezone.now() - timedelta(seconds=1))
        Dispatcher(world).run()


def at(sink):
    return list(Delivery.objects.filter(destination=sink))


class TestFallingBack:
    def test_after_so_many_failures_it_goes_to_the_fallback_too(self, pair, make_alert):
        down, up = pair
        make_alert()
        world = World(answers)
        try_until(world, 1)
        assert (fall_back_everywhere(), at(up)) == (0, [])
        try_until(world, 1)
        assert fall_back_everywhere() == 1
        Dispatcher(world).run()
        ((first,), (second,)) = at(down), at(up)
        assert (first.state, second.state, second.fallback_of) == ("pending", "delivered", first.id)

    @pytest.mark.guarantee("R15")
    def test_the_one_that_goes_is_marked_with_whose_place_it_takes(self, pair, make_alert):
        seen = []
        make_alert()
        world = World(lambda request: seen.append(request) or answers(request))
        try_until(world, 2)
        fall_back_everywhere()
        Dispatcher(world).run()
        (headers,) = [dict(request.headers) for request in seen if request.url == UP]
        assert headers["Eventsinks-Mark"].startswith("[FALLBACK for down: ")
        assert headers["webhook-id"] == str(at(pair[1])[0].id)

    def test_it_falls_back_once_and_the_first_one_is_still_tried(self, pair, make_alert):
        down, up = pair
        make_alert()
        try_until(World(answers), 2)
        assert (fall_back_everywhere(), fall_back_everywhere()) == (1, 0)
        try_until(World(lambda request: Response(200, [], b"")), 1)
        assert [one.state for one in at(down) + at(up)] == ["delivered", "delivered"]

    def test_after_so_long_it_goes_too_whatever_it_waits_for(self, pair, make_alert):
        down, up = pair
        make_alert()
        Destination.objects.filter(id=down.id).update(held_until=timezone.now() + timedelta(hours=1))
        assert fall_back_everywhere() == 0
        (row,) = at(down)
        Delivery.objects.filter(id=row.id).update(id=make_least_id(timezone.now() - timedelta(seconds=61)))
        assert (fall_back_everywhere(), len(at(up))) == (1, 1)

    def test_what_waits_for_a_disabled_sink_goes_at_once(self, pair, make_alert):
        down, up = pair
        make_alert()
        park(down.id, down.version, "410")
        assert (fall_back_everywhere(), len(at(up))) == (1, 1)

    def test_what_a_person_paused_waits(self, pair, make_alert):
        down, up = pair
        make_alert()
        configure.pause(down)
        Delivery.objects.update(tries=5)
        assert (fall_back_everywhere(), at(up)) == (0, [])

    def test_what_was_refused_for_good_goes_at_once(self, pair, make_alert):
        down, up = pair
        make_alert()
        Delivery.objects.filter(destination=down).update(state="failed")
        assert (fall_back_everywhere(), len(at(up))) == (1, 1)

    def test_two_that_name_each_other_make_no_loop(self, pair, make_alert):
        down, up = pair
        options = Options.model_validate({"fallback": {"event_sink_id": str(down.uuid), "after_failures": 1}})
        configure.change(up, options=options)
        make_alert()
        world = World(lambda request: Response(500, [], b""))
        for _ in range(4):
            try_until(world, 1)
            fall_back_everywhere()
        assert (len(at(down)), len(at(up))) == (1, 1)

    def test_a_fallback_has_no_fallback_of_its_own_for_what_took_another_s_place(
        self, pair, make_webhook, make_alert
    ):
        down, up = pair
        third = make_webhook("https://third.example.com/", options=Options(event_types=[]))
        options = {"fallback": {"event_sink_id": str(third.uuid), "after_failures": 1}}
        configure.change(up, options=Options.model_validate(options))
        make_alert(event_sink_ids=[str(down.uuid)])
        world = World(lambda request: Response(500, [], b""))
        for _ in range(4):
            try_until(world, 1)
            fall_back_everywhere()
        assert (len(at(down)), len(at(up)), at(third)) == (1, 1, [])

    def test_a_sink_that_has_the_event_already_is_not_sent_it_again(self, pair, make_alert):
        down, up = pair
        make_alert(event_sink_ids=[str(down.uuid), str(up.uuid)])
        try_until(World(answers), 2)
        assert fall_back_everywhere() == 0
        assert len(at(up)) == 1
        assert audit_account().balances

    def test_more_than_one_transaction_takes_all_go(self, pair, make_alert, monkeypatch):
        monkeypatch.setattr("eventsinks.sweeping.fall_back.AT_ONCE", 2)
        down, up = pair
        for _ in range(5):
            make_alert()
        park(down.id, down.version, "410")
        assert (fall_back_everywhere(), len(at(up))) == (5, 5)

    def test_they_are_written_in_the_order_of_events_or_two_sinks_would_wait_for_each_other(
        self, pair, make_alert
    ):
        down, up = pair
        for _ in range(5):
            make_alert()
        park(down.id, down.version, "410")
        fall_back_everywhere()
        written = Delivery.objects.filter(destination=up).order_by("id").values_list("event_id", flat=True)
        assert list(written) == sorted(written)

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_send_it_once(self, pair, make_alert):
        down, up = pair
        for _ in range(20):
            make_alert()
        park(down.id, down.version, "410")
        results = at_once(4, lambda index: fall_back_everywhere())
        assert sum(results) == 20
        assert len(at(up)) == 20
        assert audit_account().balances

    def test_another_tenants_sink_is_no_fallback(self, globex, make_webhook):
        theirs = make_webhook(tenant=globex)
        options = Options.model_validate({"fallback": {"event_sink_id": str(theirs.uuid)}})
        with pytest.raises(NotConfigurable) as raised:
            make_webhook(options=options)
        assert raised.value.errors[0].field == "fallback.event_sink_id"

    def test_a_sink_is_not_its_own_fallback(self, make_webhook):
        sink = make_webhook()
        options = Options.model_validate({"fallback": {"event_sink_id": str(sink.uuid)}})
        with pytest.raises(NotConfigurable):
            configure.change(sink, options=options)


class TestHeartbeatTests:
    def make(self, make_webhook):
        return make_webhook(UP, options=Options(drill_interval_s=3600))

    def later(self, seconds):
        Destination.objects.update(drilled_at=F("drilled_at") - timedelta(seconds=seconds))

    def test_the_first_comes_after_one_interval_and_takes_the_road_of_every_alert(self, make_webhook):
        sink = self.make(make_webhook)
        assert send_heartbeats() == 0
        self.later(3601)
        assert (send_heartbeats(), send_heartbeats()) == (1, 0)
        seen = []
        Dispatcher(World(lambda request: seen.append(request) or answers(request))).run()
        assert b"[DRILL]" in seen[0].body
        assert [one.state for one in at(sink)] == ["delivered"]

    def test_one_that_fails_goes_to_the_fallback(self, pair):
        down, up = pair
        configure.change(down, options=Options(drill_interval_s=3600))
        self.later(3601)
        send_heartbeats()
        try_until(World(answers), 2)
        assert (fall_back_everywhere(), len(at(up))) == (1, 1)

    def test_a_paused_sink_has_none(self, make_webhook):
        sink = self.make(make_webhook)
        configure.pause(sink)
        self.later(3601)
        assert send_heartbeats() == 0

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_make_one(self, make_webhook):
        sink = self.make(make_webhook)
        self.later(3601)
        assert sum(at_once(4, lambda index: send_heartbeats())) == 1
        assert len(at(sink)) == 1
