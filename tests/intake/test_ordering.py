"""Order: what one sink is told of one incident, or in one line, arrives in the order in which it was accepted."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from random import Random

import pytest
from django.db import transaction
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.actions.explain import explain_event
from eventsinks.actions.replaying.replay import replay
from eventsinks.actions.replaying.skip import skip_deliveries
from eventsinks.event_types import event_type
from eventsinks.intake import line_up
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Destination, Event
from eventsinks.models.delivery import BEHIND, line
from eventsinks.models.options import Fallback, Options
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.streaming.streamer import stream
from eventsinks.sweeping.fall_back import fall_back_everywhere
from eventsinks.sweeping.tidy import tidy_up
from tests.helpers.crowd import at_once
from tests.helpers.visible import visible
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db
OK, BUSY = (Response(status, [], b"") for status in (202, 503))


def actions(world):
    """Return what PagerDuty was told, in order."""
    return [json.loads(body)["event_action"] for body in world.bodies]


class Answering(World):
    """A world that gives these answers in turn, then OK, and keeps what it was sent."""

    def __init__(self, *answers):
        super().__init__(self._next)
        self.bodies, self._answers = [], list(answers)

    def _next(self, request):
        self.bodies.append(request.body)
        return self._answers.pop(0) if self._answers else OK


def names(world):
    return [json.loads(body)["name"] for body in world.bodies]


def let_time_pass():
    """Bring every later try forward, and sweep once."""
    Delivery.objects.all().bring_forward()
    line_up.call_uncalled()


class OnceOnly(Answering):
    """A world in which the first one fails for good, because it has one try."""

    def __init__(self, settings, *answers):
        super().__init__(BUSY, *answers)
        self._settings, self._schedule = settings, settings.EVENTSINKS_RETRY_SCHEDULE
        settings.EVENTSINKS_RETRY_SCHEDULE = []

    def poll(self, wait):
        ended = super().poll(wait)
        if len(self.bodies) > 1:
            self._settings.EVENTSINKS_RETRY_SCHEDULE = self._schedule
        return ended


def states():
    return list(Delivery.objects.order_by("event_id").values_list("state", flat=True))


@pytest.fixture
def pagerduty(acme):
    key = "0123456789abcdef0123456789abcdef"
    return configure.create(acme, "pagerduty", {"integration_key": key}, name="pd")


@pytest.fixture
def sink(make_webhook):
    """Return what makes a sink with an ordering."""
    return lambda **options: make_webhook(options=Options(**options))


def test_a_resolution_waits_for_its_firing_to_be_taken(pagerduty, make_alert):
    world = Answering(BUSY)
    make_alert(dedup_key="db", status="firing")
    Dispatcher(world).run()
    make_alert(dedup_key="db", status="resolved")
    Dispatcher(world).run()
    assert actions(world) == ["trigger"]
    let_time_pass()
    Dispatcher(world).run()
    assert actions(world) == ["trigger", "trigger", "resolve"]


def test_an_incident_is_told_in_order_where_all_came_in_one_request(pagerduty, acme):
    documents = [
        json.dumps({"name": "n", "severity": "Low", "dedup_key": "db", "status": status}).encode()
        for status in ("firing", "acknowledged", "resolved", "firing")
    ]
    accept(acme, event_type("detection_alert"), documents)
    world = Answering(BUSY)
    Dispatcher(world).run()
    let_time_pass()
    Dispatcher(world).run()
    assert actions(world) == ["trigger", "trigger", "acknowledge", "resolve", "trigger"]


@pytest.mark.guarantee("R22")
def test_one_that_failed_for_good_lets_the_next_go(sink, make_alert, settings):
    sink()
    for number in range(3):
        make_alert(name=f"{number}", dedup_key="db")
    world = OnceOnly(settings)
    Dispatcher(world).run()
    assert (names(world), states()) == (["0", "1", "2"], ["failed", "delivered", "delivered"])


def test_with_the_policy_wait_one_that_failed_holds_its_line_until_it_is_replayed(sink, make_alert, settings):
    sink(ordering_policy="wait")
    for number in range(3):
        make_alert(name=f"{number}", dedup_key="db")
    world = OnceOnly(settings)
    Dispatcher(world).run()
    make_alert(name="other", dedup_key="web")
    make_alert(name="3", dedup_key="db")
    let_time_pass()
    Dispatcher(world).run()
    assert names(world) == ["0", "other"]
    replay(Delivery.objects.filter(state="failed"))
    Dispatcher(world).run()
    assert names(world) == ["0", "other", "0", "1", "2", "3"]


def test_with_the_policy_wait_what_comes_after_one_that_failed_waits_too(sink, make_alert, settings):
    settings.EVENTSINKS_RETRY_SCHEDULE = []
    sink(ordering_policy="wait")
    make_alert(name="0", dedup_key="db")
    Dispatcher(Answering(BUSY)).run()
    make_alert(name="1", dedup_key="db")
    world = Answering()
    Dispatcher(world).run()
    assert names(world) == []
    (verdict,) = explain_event(Delivery.objects.latest("event_id").event)
    assert verdict.why.endswith("which failed: replay or skip it")


@pytest.mark.parametrize("policy", ["wait", "skip"])
def test_one_that_a_person_skips_lets_the_next_go(sink, make_alert, policy, settings):
    sink(ordering_policy=policy)
    for number in range(2):
        make_alert(name=f"{number}", dedup_key="db")
    world = OnceOnly(settings) if policy == "wait" else Answering(BUSY)
    Dispatcher(world).run()
    assert names(world) == ["0"]
    first = Delivery.objects.order_by("event_id")[0]
    assert skip_deliveries(Delivery.objects.filter(id=first.id)) == 1
    Dispatcher(world).run()
    assert (names(world), states()) == (["0", "1"], ["suppressed", "delivered"])


def test_an_older_one_that_is_replayed_goes_before_what_waits_for_its_next_try(sink, make_alert, settings):
    sink()
    for number in range(3):
        make_alert(name=f"{number}", dedup_key="db")
    world = OnceOnly(settings, BUSY)
    Dispatcher(world).run()
    assert names(world) == ["0", "1"]
    replay(Delivery.objects.filter(state="failed"))
    Dispatcher(world).run()
    assert names(world) == ["0", "1", "0", "1", "2"]


def test_what_is_being_sent_is_waited_for_by_an_older_one_that_is_replayed(sink, make_alert, settings):
    sink()
    for number in range(2):
        make_alert(name=f"{number}", dedup_key="db")
    Dispatcher(OnceOnly(settings, BUSY)).run()
    held = World(lambda request: None)
    let_time_pass()
    Dispatcher(held)._claim()
    replay(Delivery.objects.filter(state="failed"))
    world = Answering()
    Dispatcher(world).run()
    assert (len(held.held), names(world)) == (1, [])
    Delivery.objects.filter(state="sending").update(due_at=Now() - timedelta(seconds=1))
    Dispatcher(world).run()
    assert names(world) == ["1", "0"]


@pytest.mark.guarantee("R22")
def test_a_dead_incident_holds_no_other_up(sink, make_alert):
    sink()
    for number in range(50):
        make_alert(name="dead", dedup_key="dead")
        make_alert(name=f"{number}", dedup_key=f"{number % 5}")
    make_alert(name="alone")
    world = World(lambda request: BUSY if json.loads(request.body)["name"] == "dead" else OK)
    Dispatcher(world).run()
    assert Delivery.objects.filter(state="delivered").count() == 51
    assert len(world.sent()) == 52


def test_alerts_of_the_same_incident_go_to_each_sink_at_its_own_pace(make_webhook, make_alert):
    make_webhook("https://dead.example/")
    make_webhook("https://well.example/")
    for _ in range(3):
        make_alert(dedup_key="db")
    world = World(lambda request: BUSY if "dead" in request.url else OK)
    Dispatcher(world).run()
    assert (len(world.sent("https://dead.example/")), len(world.sent("https://well.example/"))) == (1, 3)


def test_an_alert_that_names_no_incident_waits_for_none(sink, make_alert):
    sink()
    for _ in range(3):
        make_alert()
    assert set(Delivery.objects.values_list("ordering_key", flat=True)) == {None}


@pytest.mark.parametrize("whose", ["the sink's", "the alert's"])
def test_a_template_that_tells_incidents_apart_orders_them(make_webhook, make_alert, whose):
    template = {"info": [{"label": "User", "value": "{{@alert.user}}", "use_for_dedup": True}]}
    options = Options.model_validate({"alert_template": template}) if whose == "the sink's" else None
    make_webhook(options=options)
    own = {} if options else {"alert_template": template}
    for user in ("ann", "bob", "ann"):
        make_alert(user=user, detection_rule_id="r", **own)
    first, other, second = Delivery.objects.order_by("event_id").values_list("ordering_key", flat=True)
    assert first == second != other


def test_everything_is_sent_in_order_where_that_is_wanted(sink, make_alert):
    sink(ordering="event_sink")
    for number in range(3):
        make_alert(name=f"{number}", dedup_key=f"{number}")
    world = Answering(BUSY)
    Dispatcher(world).run()
    assert names(world) == ["0"]
    let_time_pass()
    Dispatcher(world).run()
    assert names(world) == ["0", "0", "1", "2"]


def test_nothing_is_sent_in_order_where_that_is_wanted(sink, make_alert):
    sink(ordering="none")
    for number in range(3):
        make_alert(name=f"{number}", dedup_key="db")
    world = World(lambda request: BUSY)
    Dispatcher(world).run()
    assert len(world.sent()) == 3


def test_an_expression_says_what_is_sent_in_order(sink, make_alert):
    sink(ordering_key="user.name")
    for number, user in enumerate(["ann", "bob", "ann", None, None]):
        make_alert(name=f"{number}", dedup_key="same", **({"user": {"name": user}} if user else {}))
    world = World(lambda request: BUSY)
    Dispatcher(world).run()
    ann, bob, ann_again, *rest = Delivery.objects.order_by("event_id").values_list("ordering_key", flat=True)
    assert (ann == ann_again != bob, rest) == (True, [None, None])
    assert len(world.sent()) == 4


@pytest.mark.parametrize("text", ["user.name ==", "nothing(name)", "1", '"a"', "x" * 5000, 'name.matches("(")'])
def test_an_expression_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="ordering_key"):
        Options(ordering_key=text)


def test_a_person_is_told_what_a_delivery_waits_for(sink, make_alert):
    sink()
    for _ in range(2):
        make_alert(dedup_key="db")
    Dispatcher(World(lambda request: BUSY)).run()
    first, second = Delivery.objects.order_by("event_id")
    (verdict,) = explain_event(second.event)
    assert verdict.why == f"waits for an earlier alert of the same incident (delivery {first.id})"
    assert line.count_behind(second.destination_id).waiting == 1
    assert line.count_behind(second.destination_id).since == second.created_at


def test_who_was_called_by_nobody_is_found_by_the_sweep(sink, make_alert):
    sink()
    for number in range(3):
        make_alert(name=f"{number}", dedup_key="db")
    Delivery.objects.filter(due_at__lt=BEHIND).update(state="delivered", settled_at=Now())
    world = Answering()
    Dispatcher(world).run()
    assert names(world) == []
    line_up.call_uncalled()
    Dispatcher(world).run()
    assert names(world) == ["1", "2"]


def test_the_sweep_comes_to_every_line_however_many_there_are(sink, make_alert, monkeypatch):
    monkeypatch.setattr(line_up, "AT_ONCE", 2)
    sink()
    for key in range(5):
        for _ in range(2):
            make_alert(dedup_key=f"{key}")
    Delivery.objects.filter(due_at__lt=BEHIND).update(state="delivered", settled_at=Now())
    for _ in range(3):
        line_up.call_uncalled()
    assert Delivery.objects.filter(state="pending", due_at__lt=BEHIND).count() == 5


def test_one_whose_workers_are_always_lost_lets_the_next_go(sink, make_alert, settings):
    settings.EVENTSINKS_RETRY_SCHEDULE = []
    sink()
    for number in range(2):
        make_alert(name=f"{number}", dedup_key="db")
    Dispatcher(World(lambda request: None))._claim()
    Delivery.objects.filter(state="sending").update(due_at=Now() - timedelta(seconds=1))
    tidy_up()
    world = Answering()
    Dispatcher(world).run()
    assert (names(world), states()) == (["1"], ["failed", "delivered"])


def test_what_takes_the_place_of_others_keeps_their_order(make_webhook, make_alert):
    there = make_webhook("https://fallback.example/")
    make_webhook("https://dead.example/", options=Options(fallback=Fallback(event_sink_id=there.uuid)))
    Delivery.objects.all().delete()
    for number in range(4):
        make_alert(name=f"{number}", dedup_key="db", event_sink_ids=[str(Destination.objects.last().uuid)])
    Destination.objects.filter(fallback=there).update(state="parked")
    fall_back_everywhere()
    world = Answering(BUSY)
    Dispatcher(world).run()
    let_time_pass()
    Dispatcher(world).run()
    assert names(world) == ["0", "0", "1", "2", "3"]


class Crew:
    """Workers that settle, fail and vanish as a seed says, one step at a time, and what was sent, in order."""

    def __init__(self, random, number):
        self.random, self.sent = random, []
        self.dispatchers = [Dispatcher(World(self._answer)) for _ in range(number)]

    def _answer(self, request):
        told = json.loads(request.body)
        self.sent.append((request.url, told.get("dedup_key"), int(told["name"])))
        return self.random.choices([OK, BUSY, None], [5, 4, 1])[0]

    def step(self):
        dispatcher = self.random.choice(self.dispatchers)
        dispatcher._claim()
        if self.random.random() < 0.2:  # this worker vanishes with all that it holds
            self.dispatchers[self.dispatchers.index(dispatcher)] = Dispatcher(World(self._answer))
            Delivery.objects.filter(state="sending").update(due_at=Now() - timedelta(seconds=1))
            return
        dispatcher._exchange.release()
        dispatcher._end(dispatcher._exchange.poll(0))
        dispatcher._ended.settle_at = 0
        dispatcher._ended.settle_if_due(0)


@pytest.mark.guarantee("R22")
@pytest.mark.parametrize("seed", range(8))
def test_whatever_fails_and_whoever_vanishes_each_line_is_sent_in_order(make_webhook, make_alert, seed, settings):
    settings.EVENTSINKS_RETRY_SCHEDULE = [1.0] * 4
    random = Random(seed)
    make_webhook("https://one.example/")
    make_webhook("https://two.example/", options=Options(ordering="event_sink"))
    crew = Crew(random, 3)
    for number in range(60):
        key = random.choice(["a", "b", "c", None])
        make_alert(name=f"{number}", **({"dedup_key": key} if key else {}))
        if random.random() < 0.5:
            crew.step()
        if random.random() < 0.3:
            let_time_pass()
        if random.random() < 0.1:
            tidy_up()
        sending = Delivery.objects.filter(state="sending", ordering_key__isnull=False)
        lines = list(sending.values_list("destination_id", "ordering_key"))
        assert len(lines) == len(set(lines))
    for _ in range(1000):
        if not Delivery.objects.filter(state__in=["pending", "sending"]).exists():
            break
        let_time_pass()
        crew.step()
        tidy_up()
    assert set(states()) == {"delivered", "failed"}
    assert Delivery.objects.count() == 120
    in_line = {("https://one.example/", key) for key in "abc"} | {("https://two.example/", None)}
    for url, key in in_line:
        told = [number for to, of, number in crew.sent if to == url and key in (None, of)]
        assert told == sorted(told)
        assert len(set(told)) > 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("config", "most"), [({}, 12), ({"ordered": "true"}, 1), ({"ordered": "false"}, 12)])
def test_a_stream_over_http_is_sent_one_by_one_where_that_is_wanted(acme, config, most):
    world = Answering()
    made = {"url": "https://stream.example/", **config}
    stream_to = configure.create(acme, "generic_http", made, name="s")
    visible(acme)
    stream(stream_to.id, Answering())  # what tells that it was made
    documents = [json.dumps({"id": f"{number}", "activity_code": "x"}).encode() for number in range(12)]
    accept(acme, event_type("audit"), documents)
    visible(acme)
    stream(stream_to.id, world)
    assert (world.most, len(world.bodies)) == (most, 12)
    if most == 1:
        assert [json.loads(body)["ID"] for body in world.bodies] == list(range(12))


@pytest.mark.django_db(transaction=True)
def test_of_those_that_many_accept_at_once_each_is_sent_after_all_before_it(make_webhook, acme):
    make_webhook(options=Options(ordering="event_sink"))
    sent, stop = [], threading.Event()

    def answers(request):
        sent.append(json.loads(request.body)["id"])
        return OK

    def work(index):
        if index < 3:
            for number in range(15):
                alert = {"name": "n", "severity": "Low", "id": f"{index}-{number}"}
                accept(acme, event_type("detection_alert"), [json.dumps(alert).encode()])
            return
        dispatcher = Dispatcher(World(answers))
        while not stop.is_set():
            dispatcher.run()
            line_up.call_uncalled()
            if Delivery.objects.filter(state="delivered").count() == 45:
                stop.set()

    failed = [error for error in at_once(6, work) if error is not None]
    stop.set()
    assert failed == []
    ids = dict(Event.objects.values_list("key", "id"))
    told = [ids[key] for key in sent]
    assert (len(told), told) == (45, sorted(told))


@pytest.mark.django_db(transaction=True)
def test_an_alert_of_an_incident_gets_no_id_before_an_earlier_one_is_committed(sink, make_alert):
    sink()
    make_alert(dedup_key="db")
    accepted, committed = threading.Event(), threading.Event()

    def first():
        with transaction.atomic():
            make_alert(dedup_key="db")
            accepted.set()
            time.sleep(1)
            committed.set()

    def second():
        assert accepted.wait(20)
        make_alert(dedup_key="db")
        return committed.is_set()

    assert at_once(2, lambda index: (first, second)[index]()) == [None, True]
