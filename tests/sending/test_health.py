"""The breaker at work: real dispatchers, a real receiver, and the state that all processes share."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from eventsinks.actions import configure
from eventsinks.actions.status import find_status
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import Outlet
from eventsinks.models import Attempt, Delivery, Destination
from eventsinks.sending.breaker import PROBES, RAMP_FIRST
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.health import take_probes
from tests.helpers.receiver import Receiver, answer, hang, lose

pytestmark = pytest.mark.django_db(transaction=True)
K = PROBES["event_sink"]
MOMENTS = ("trouble_since", "trouble_at", "failed_at", "window_at", "breaker_at", "held_until", "limited_until")


class Far:
    """What the receiver answers: a status for all, or a function."""

    def __init__(self):
        self.says = 503

    def __call__(self, got):
        return answer(self.says) if isinstance(self.says, int) else self.says(got)


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def receiver(far):
    with Receiver(far) as opened:
        yield opened


@pytest.fixture
def sink(make_webhook, receiver):
    return make_webhook(receiver.url())


def pass_time(seconds):
    """Let time pass for the sinks and for what waits at them."""
    Destination.objects.update(**{name: F(name) - timedelta(seconds=seconds) for name in MOMENTS})
    Delivery.objects.update(due_at=F("due_at") - timedelta(seconds=seconds))


def look(sink):
    return Destination.objects.get(id=sink.id)


@pytest.fixture
def opened(sink, make_alert, dispatcher):
    """A sink that is open since a moment ago, with a backlog of 40."""
    for _ in range(40):
        make_alert()
    dispatcher.run()
    pass_time(130)
    Delivery.objects.filter(id__in=Delivery.objects.order_by("-id")[:1]).update(due_at=timezone.now())
    dispatcher.run()
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert find_status(look(sink)) == "open"
    return look(sink)


def tries():
    return Counter(Delivery.objects.values_list("tries", flat=True))


def in_threads(count, work):
    """Do `work` in so many threads at once, each with its own connection."""

    def alone():
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=alone) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def run_once():
    outlet = Outlet(AddressGuard(["127.0.0.0/8"]), timeout=5)
    try:
        Dispatcher(outlet).run()
    finally:
        outlet.close()


@pytest.mark.guarantee("R19")
def test_while_it_is_open_nothing_is_sent_and_no_try_is_lost(opened, receiver, dispatcher, make_alert):
    before, came = tries(), len(receiver.got)
    make_alert()
    assert dispatcher.run() == 0
    assert (len(receiver.got), tries()) == (came, before + Counter({0: 1}))


@pytest.mark.guarantee("R19")
def test_a_new_process_finds_it_open(opened, receiver):
    came = len(receiver.got)
    run_once()
    assert len(receiver.got) == came
    assert find_status(look(opened)) == "open"


@pytest.mark.guarantee("R19")
def test_two_dispatchers_at_once_send_exactly_k_probes(opened, receiver, far):
    pass_time(31)
    came, far.says = len(receiver.got), lambda got: hang(receiver)
    threads = in_threads(2, run_once)
    for _ in range(200):
        if receiver.hanging >= K:
            break
        threading.Event().wait(0.02)
    threading.Event().wait(0.5)  # whoever wanted to send more had the time
    assert len(receiver.got) - came == K
    assert (look(opened).breaker, look(opened).probes) == ("half_open", 0)
    far.says = 200
    receiver.release()
    for thread in threads:
        thread.join(20)
    assert look(opened).breaker in ("ramp", "closed")


def test_when_the_probes_fail_it_opens_for_longer_and_their_tries_come_back(opened, receiver, dispatcher):
    before, came = tries(), len(receiver.got)
    pass_time(31)
    dispatcher.run()
    sink = look(opened)
    assert (sink.breaker, sink.trouble, sink.times_opened) == ("open", 2, 2)
    assert K // 2 < len(receiver.got) - came <= K
    assert tries() == before
    assert sink.held_until > timezone.now() + timedelta(seconds=50)


def test_a_probe_of_the_last_try_is_not_given_up(opened, dispatcher, settings):
    Delivery.objects.update(tries=len(settings.EVENTSINKS_RETRY_SCHEDULE))
    pass_time(31)
    dispatcher.run()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


@pytest.mark.guarantee("R19")
def test_when_the_probes_arrive_the_backlog_goes_out_slowly_at_first(opened, receiver, far, dispatcher):
    far.says = 200
    pass_time(31)
    dispatcher.run()
    sink = look(opened)
    assert (sink.breaker, sink.trouble) == ("ramp", 0)
    left = Delivery.objects.filter(state="pending").count()
    assert left >= 40 - K - 2 * RAMP_FIRST
    assert sink.limited_until is not None
    for _ in range(12):
        pass_time(10)
        dispatcher.run()
    assert not Delivery.objects.exclude(state="delivered").exists()


def test_probes_of_a_worker_that_died_are_given_out_once_more(opened, receiver, far, dispatcher, settings):
    pass_time(31)
    sink = look(opened)
    assert take_probes(sink.id, sink.version, 100) == K  # and then it was killed
    came, far.says = len(receiver.got), 200
    dispatcher.run()
    assert len(receiver.got) == came
    pass_time(settings.EVENTSINKS_LEASE + 1)
    dispatcher.run()
    assert len(receiver.got) > came
    assert look(opened).breaker == "ramp"


def test_one_open_sink_holds_up_no_other(opened, make_webhook, make_alert, dispatcher):
    with Receiver() as well:
        make_webhook(well.url())
        make_alert()
        dispatcher.run()
        assert len(well.got) == 1


def test_a_person_who_resumes_or_repairs_it_closes_the_breaker(opened, receiver, far, dispatcher):
    far.says = 200
    configure.change(opened, {"url": receiver.url("/new")})
    assert (look(opened).breaker, look(opened).trouble, look(opened).held_until) == ("closed", 0, None)
    dispatcher.run()
    assert not Delivery.objects.exclude(state="delivered").exists()


def test_a_sink_that_is_well_is_never_written(sink, far, make_alert, dispatcher):
    far.says = 200
    for _ in range(20):
        make_alert()
    with CaptureQueriesContext(connection) as queries:
        dispatcher.run()
    assert Delivery.objects.filter(state="delivered").count() == 20
    assert not [one["sql"] for one in queries if 'UPDATE "eventsinks_destination"' in one["sql"]]


def test_a_burst_of_failures_is_written_once(sink, make_alert, dispatcher):
    for _ in range(60):
        make_alert()
    with CaptureQueriesContext(connection) as queries:
        dispatcher.run()
    assert look(sink).faulted == Attempt.objects.count() == 60
    written = [one["sql"] for one in queries if 'UPDATE "eventsinks_destination"' in one["sql"]]
    assert 1 <= len(written) <= 3


def test_no_answer_counts(sink, far, make_alert, dispatcher):
    far.says = lambda got: lose
    for _ in range(3):
        make_alert()
    dispatcher.run()
    assert look(sink).faulted == 3
    assert look(sink).trouble_reason


@pytest.mark.guarantee("R13")
def test_a_first_refusal_of_the_credentials_warns_and_the_third_disables(sink, far, make_alert, dispatcher):
    far.says = 401
    make_alert()
    dispatcher.run()
    assert find_status(look(sink)) == "failing"
    for _ in range(2):
        pass_time(400)
        dispatcher.run()
    assert (find_status(look(sink)), look(sink).trouble) == ("disabled", 3)
