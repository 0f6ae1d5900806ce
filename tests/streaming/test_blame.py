"""Whose fault: one event that is refused costs no other, and a destination that takes nothing loses nothing."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from eventsinks.actions.replaying.replay_job import work_off_replays
from eventsinks.actions.replaying.replay_stream import replay_stream
from eventsinks.destinations.datadog import Datadog
from eventsinks.event_types import event_type
from eventsinks.intake.accept import accept
from eventsinks.models import Delivery, Destination, Position
from eventsinks.streaming.blame import REFUSALS
from eventsinks.streaming.progress import explain_standing, measure_progress
from eventsinks.streaming.streamer import stream
from tests.helpers import replays
from tests.helpers.receiver import Receiver, answer
from tests.helpers.visible import visible

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Far:
    """A receiver of a stream. `poison` maps an event's code to the status that it gets; `all` is everybody's."""

    def __init__(self):
        self.poison = {}
        self.all = 0
        self.retry_after = ""
        self.taken = []
        self.said_again = {}
        self.asked = 0

    def __call__(self, got):
        self.asked += 1
        body = gzip.decompress(got.body) if got.body[:2] == b"\x1f\x8b" else got.body
        document = json.loads(body)
        codes = [code_of(one) for one in (document if isinstance(document, list) else [document])]
        status = self.all or next((self.poison[code] for code in codes if code in self.poison), 0)
        if status:
            return answer(status, [("Retry-After", self.retry_after)] if self.retry_after else [])
        self.taken += codes
        self.said_again |= dict.fromkeys(codes, ("webhook-replay", "true") in got.headers)
        return answer(202)


def code_of(document):
    """Return what tells an event from another in these tests: NetBird's words, or Datadog's."""
    event = document.get("event", document)
    return event.get("target_id") or event["TargetID"]


@pytest.fixture
def log(acme):
    """Write audit events into the log, one for each code; return when streams can read them."""

    def log(*codes):
        documents = [json.dumps({"activity_code": "x", "target_id": str(code)}).encode() for code in codes]
        assert not accept(acme, event_type("audit"), documents).rejections
        visible(acme)

    return log


@pytest.fixture
def far():
    return Far()


@pytest.fixture(params=["generic_http", "datadog"])
def integration(request, far, integrate, monkeypatch):
    monkeypatch.setattr(Datadog, "limits", replace(Datadog.limits, linger=0.0))
    with Receiver(far) as receiver:
        url = receiver.url("/intake")
        config = {"url": url} if request.param == "generic_http" else {"api_key": "k" * 32, "api_url": url}
        yield integrate(request.param, config)


def run(integration, outlet, rounds=1, wait=True):
    """Stream, over and over, as if every pause were over."""
    for _ in range(rounds):
        if wait:
            past = timedelta(hours=30)
            Position.objects.update(due_at=F("due_at") - past)
            Delivery.objects.filter(state="pending").update(due_at=F("due_at") - past)
            Destination.objects.update(held_until=None)
        stream(integration.id, outlet)


def states(integration):
    return sorted(Delivery.objects.filter(destination=integration).values_list("state", flat=True))


@pytest.mark.parametrize("status", [400, 413])
def test_an_event_that_is_refused_among_others_becomes_a_dead_letter_and_the_stream_goes_on(
    far,
    integration,
    log,
    outlet,
    status,
):
    far.poison = {"4": status}
    log(*range(10))
    run(integration, outlet, 3)
    log(*range(10, 20))
    run(integration, outlet, 3)
    assert sorted(map(int, set(far.taken))) == [number for number in range(20) if number != 4]
    assert states(integration) == ["failed"]
    assert (explain_standing(integration).set_aside, explain_standing(integration).stands_since) == (1, None)


@pytest.mark.parametrize("status", [500, 403, 502])
def test_an_event_that_the_far_end_chokes_on_holds_up_no_other_and_arrives_after_the_repair(
    far,
    integrate,
    log,
    outlet,
    status,
):
    with Receiver(far) as receiver:
        integration = integrate("generic_http", {"url": receiver.url("/intake")})
        far.poison = {"4": status}
        log(*range(10))
        run(integration, outlet, 2)
        log(*range(10, 20))
        run(integration, outlet, 2)
        assert sorted(map(int, set(far.taken))) == [number for number in range(20) if number != 4]
        assert states(integration) == ["pending"]
        assert measure_progress(integration).tried_apart == 1
        far.poison = {}
        run(integration, outlet, 2)
    assert "4" in far.taken
    assert states(integration) == ["delivered"]


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("status", [400, 413, 403, 500])
def test_a_destination_that_takes_nothing_loses_nothing_and_gets_all_after_the_repair(
    far,
    integration,
    log,
    outlet,
    status,
    count,
):
    far.all = status
    log(*range(count))
    run(integration, outlet, 6)
    log(*range(count, 2 * count))
    run(integration, outlet, 6)
    standing = explain_standing(integration)
    assert "failed" not in states(integration)
    assert len(states(integration)) < REFUSALS
    if integration.type == "datadog" and status == 403:
        assert Destination.objects.get(id=integration.id).state == "parked"
        Destination.objects.filter(id=integration.id).update(state="active")
    else:
        assert str(status) in standing.stands_reason
    assert standing.stands_since is not None
    far.all = 0
    run(integration, outlet, 12)
    assert sorted(map(int, set(far.taken))) == list(range(2 * count))
    assert set(states(integration)) <= {"delivered"}
    assert explain_standing(integration).stands_since is None


def test_a_stream_is_disabled_by_the_third_401_in_a_row_and_not_by_one(far, integrate, log, outlet):
    with Receiver(far) as receiver:
        integration = integrate("generic_http", {"url": receiver.url("/intake")})
        stands = lambda: Destination.objects.values_list("state", "doubts").get(id=integration.id)  # noqa: E731
        far.all = 401
        log(1)
        run(integration, outlet, 1)
        assert stands() == ("active", 1)
        far.all = 0
        run(integration, outlet, 1)
        assert stands() == ("active", 0)
        far.all = 401
        log(2)
        run(integration, outlet, 2)
        assert stands() == ("active", 2)
        run(integration, outlet, 1)
        assert stands() == ("parked", 0)
    assert far.taken == ["1"]


def test_a_destination_that_takes_nothing_is_not_asked_at_full_speed(far, integration, log, outlet):
    far.all = 400
    log(*range(200))
    run(integration, outlet)
    first = far.asked
    run(integration, outlet, wait=False)
    assert far.asked == first < 200 + REFUSALS


def test_being_told_to_wait_is_no_event_s_fault(far, integrate, log, outlet):
    with Receiver(far) as receiver:
        integration = integrate("generic_http", {"url": receiver.url("/intake")})
        far.poison = {"4": 429}
        log(*range(10))
        run(integration, outlet)
        assert (states(integration), measure_progress(integration).tries) == ([], 1)
        far.poison = {}
        run(integration, outlet)
    assert sorted(map(int, set(far.taken))) == list(range(10))


class TestReplays:
    """What had been given up, once the far end takes it: delivered, and counted as that, by either replay."""

    @pytest.fixture
    def given_up(self, far, integrate, log, outlet):
        """Return an integration that has given up two events among others, and is repaired."""
        with Receiver(far) as receiver:
            integration = integrate("generic_http", {"url": receiver.url("/intake")})
            far.poison = {"4": 400, "5": 400}
            log(*range(10))
            run(integration, outlet, 3)
            assert explain_standing(integration).set_aside == 2
            far.poison, far.taken, far.said_again = {}, [], {}
            yield integration

    def test_a_replay_of_what_was_given_up_sends_that_alone(self, far, given_up, outlet):
        made = replays.start(given_up, LONG_AGO, status_class=4)
        assert (made.counted, work_off_replays()) == (2, 2)
        run(given_up, outlet, 3)
        assert sorted(filter(str.isdigit, far.taken)) == ["4", "5"]  # and that there was a replay
        assert states(given_up) == ["delivered"] * 2
        assert (explain_standing(given_up).set_aside, measure_progress(given_up).tried_apart) == (0, 0)
        assert made.outcome(10)["failed"] == 0

    def test_a_replay_of_the_stretch_settles_what_was_given_up_in_it(self, far, given_up, outlet):
        assert replay_stream(given_up, LONG_AGO)
        run(given_up, outlet, 3)
        assert {code for code in far.taken if code.isdigit()} == set(map(str, range(10)))
        assert states(given_up) == ["delivered"] * 2
        assert explain_standing(given_up).set_aside == 0

    def test_new_events_go_while_much_is_tried_on_its_own(self, far, given_up, log, outlet, monkeypatch):
        monkeypatch.setattr("eventsinks.streaming.streamer.APART_AT_ONCE", 1)
        replays.start(given_up, LONG_AGO)
        work_off_replays()
        log("new")
        run(given_up, outlet, 1)
        assert "new" in far.taken
        run(given_up, outlet, 3)
        assert states(given_up) == ["delivered"] * 2

    def test_what_is_still_tried_on_its_own_comes_once_where_its_stretch_is_sent_again(
        self, far, given_up, outlet
    ):
        Delivery.objects.update(state="pending", tries=1, due_at=F("due_at") + timedelta(days=9), settled_at=None)
        assert replay_stream(given_up, LONG_AGO)
        run(given_up, outlet, 1, wait=False)
        assert states(given_up) == ["delivered"] * 2

    def test_what_is_refused_again_stays_given_up(self, far, given_up, outlet):
        far.poison = {"4": 400}
        assert replay_stream(given_up, LONG_AGO)
        run(given_up, outlet, 3)
        assert states(given_up) == ["delivered", "failed"]

    @pytest.mark.parametrize("replayed", ["given up", "stretch"])
    def test_what_is_sent_again_says_so_and_what_is_new_does_not(self, far, given_up, log, outlet, replayed):
        if replayed == "stretch":
            replay_stream(given_up, LONG_AGO)
        else:
            replays.start(given_up, LONG_AGO)
            work_off_replays()
        log("new")
        run(given_up, outlet, 3)
        assert far.said_again["new"] is False
        assert {again for code, again in far.said_again.items() if code.isdigit()} == {True}
