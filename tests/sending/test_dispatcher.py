"""Deliver: what is owed arrives at least once, in its own time, and each try leaves evidence."""

import itertools
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook

from eventsinks.actions import configure
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import open_outlet
from eventsinks.lib.net.wire import ExchangeFailed, Response
from eventsinks.lib.secrets.crypto import make_key
from eventsinks.models import Attempt, Delivery, Destination, Event, SlackWorkspace
from eventsinks.sending import dispatcher, settle_attempts
from eventsinks.sending.dispatcher import Dispatcher
from eventsinks.sending.judge import EXCERPT, get_max_tries
from eventsinks.sending.settle_attempts import settle_surely
from eventsinks.sweeping.tidy import tidy_up
from tests.helpers.receiver import Receiver, answer, hang, lose
from tests.helpers.worlds import Patience, World

ONE = pytest.mark.parametrize


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def sink(make_webhook, receiver):
    return make_webhook(receiver.url())


def statuses(*codes, then=200):
    """Answer with these statuses in turn."""
    left = list(codes)
    return lambda got: answer(left.pop(0) if left else then)


def move_time(seconds=1e6, **which):
    """Let `seconds` pass, by moving what deliveries and sinks wait for."""
    Delivery.objects.filter(**which).update(due_at=F("due_at") - timedelta(seconds=seconds))


def events():
    """Return the alerts. (A change of a sink is an event too: of the audit log.)"""
    return Event.objects.filter(type="detection_alert")


def states():
    return sorted(Delivery.objects.values_list("state", flat=True))


def wait_of(**which):
    """Return how many seconds a delivery is from being due."""
    return Delivery.objects.annotate(left=F("due_at") - Now()).get(**which).left.total_seconds()


def hold_of(sink):
    """Return how many seconds a sink is held back."""
    left = Destination.objects.annotate(left=F("held_until") - Now()).get(id=sink.id).left
    return left and left.total_seconds()


def owe(sink, number, tries=0):
    """Make `number` due deliveries for one sink, at once; return their ids."""
    postgresql = connection.vendor == "postgresql"
    random_id = "gen_random_uuid()" if postgresql else "lower(hex(randomblob(16)))"
    tenant = sink.tenant_id if postgresql else sink.tenant_id.hex
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
            " INSERT INTO eventsinks_event (tenant_id, type, key, data, digest, occurred_at)"
            " SELECT %s, 'detection_alert', %s || CAST(i AS text), %s, %s, CURRENT_TIMESTAMP FROM n RETURNING id",
            [number, tenant, f"{uuid.uuid4()} ", b'{"id":"1","name":"n","severity":"Low"}', b"0"],
        )
        ids = [id for (id,) in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO eventsinks_delivery (id, event_id, destination_id, state, tries, reason)"
            f" SELECT {random_id}, id, %s, 'pending', %s, '' FROM eventsinks_event"
            " WHERE id BETWEEN %s AND %s RETURNING id",
            [sink.id, tries, min(ids), max(ids)],
        )
        return [uuid.UUID(str(id)) for (id,) in cursor.fetchall()]


# --- Delivered ------------------------------------------------------------------------------------


def test_an_alert_arrives_signed_and_to_the_byte(sink, receiver, make_alert, dispatcher):
    make_alert(id="a-1", note="é 日本")
    assert dispatcher.run() == 1
    (got,) = receiver.got
    delivery = Delivery.objects.get()
    assert got.header("webhook-id") == str(delivery.id)
    assert Webhook(sink.signing_secret).verify(got.body, dict(got.headers))["id"] == "a-1"
    assert got.body == bytes(events().get().data)
    assert (delivery.state, delivery.status, delivery.tries) == ("delivered", 200, 1)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.status, attempt.peer, attempt.excerpt) == (
        "delivered",
        200,
        "127.0.0.1",
        "ok",
    )
    assert 0 < attempt.connect_ms <= attempt.total_ms


@pytest.mark.guarantee("R13")
@ONE("status", [200, 201, 202, 204, 226, 299])
def test_any_2xx_is_delivered(sink, receiver, make_alert, dispatcher, status):
    receiver.answers = lambda got: answer(status, body=b"")
    make_alert()
    dispatcher.run()
    assert states() == ["delivered"]


@pytest.mark.guarantee("R8")
def test_each_sink_gets_each_event_once(make_webhook, receiver, make_alert, dispatcher):
    paths = ["/a", "/b", "/c"]
    for path in paths:
        make_webhook(receiver.url(path))
    for number in range(50):
        make_alert(id=f"a-{number}")
    assert dispatcher.run() == 150
    for path in paths:
        assert len(receiver.ids(path)) == 50
        assert set(receiver.ids(path).values()) == {1}
    assert states() == ["delivered"] * 150


@pytest.mark.guarantee("R8")
def test_a_failure_of_one_sink_sends_nothing_again_to_the_others(make_webhook, receiver, make_alert, dispatcher):
    make_webhook(receiver.url("/well"))
    make_webhook(receiver.url("/ill"))
    receiver.answers = lambda got: answer(500 if got.path == "/ill" else 200)
    make_alert()
    for _ in range(3):
        dispatcher.run()
        move_time()
    assert [got.path for got in receiver.got].count("/well") == 1
    assert [got.path for got in receiver.got].count("/ill") == 3


def test_with_nothing_due_nothing_is_done(sink, receiver, dispatcher):
    assert dispatcher.run() == 0
    assert receiver.got == []


# --- Tried again ----------------------------------------------------------------------------------


@pytest.mark.guarantee("R13")
@ONE("status", [500, 502, 503, 504, 400, 403, 404, 408, 413, 425, 418, 429, 300])
def test_any_other_status_is_tried_again(sink, receiver, make_alert, dispatcher, status):
    receiver.answers = lambda got: answer(status)
    make_alert()
    dispatcher.run()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.status, delivery.tries) == ("pending", status, 1)
    assert str(status) in delivery.reason
    assert Attempt.objects.get().outcome == "temporary"


@pytest.mark.guarantee("R11")
def test_the_pauses_are_those_of_the_schedule_with_some_jitter(sink, receiver, make_alert, dispatcher, settings):
    receiver.answers = lambda got: answer(500)
    make_alert()
    for number, pause in enumerate(settings.EVENTSINKS_RETRY_SCHEDULE, 1):
        assert dispatcher.run() == 1
        assert pause - 5 <= wait_of() <= pause * 1.2
        assert Delivery.objects.get().tries == number
        assert dispatcher.run() == 0  # not before it is due
        move_time()
    assert dispatcher.run() == 1
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries) == ("failed", len(settings.EVENTSINKS_RETRY_SCHEDULE) + 1)
    move_time()
    assert dispatcher.run() == 0
    assert [attempt.number for attempt in Attempt.objects.all()] == list(range(1, delivery.tries + 1))


@pytest.mark.guarantee("R11")
def test_what_failed_together_does_not_come_back_together(make_webhook, settings):
    settings.EVENTSINKS_RETRY_SCHEDULE = [1000.0]
    sink = make_webhook()
    owe(sink, 300)
    Dispatcher(World(lambda request: Response(500, [], b""))).run()
    waits = [
        (due - datetime.now(UTC)).total_seconds() for due in Delivery.objects.values_list("due_at", flat=True)
    ]
    assert min(waits) >= 980
    assert max(waits) <= 1200
    assert max(waits) - min(waits) > 100


@pytest.mark.guarantee("R15")
def test_the_webhook_id_is_the_same_over_all_tries_and_the_signature_is_not(
    sink, receiver, make_alert, dispatcher
):
    receiver.answers = statuses(500, 500)
    make_alert()
    for _ in range(3):
        dispatcher.run()
        move_time()
    assert len(receiver.got) == 3
    assert set(receiver.ids()) == {str(Delivery.objects.get().id)}
    for got in receiver.got:
        assert Webhook(sink.signing_secret).verify(got.body, dict(got.headers))
    assert states() == ["delivered"]


@pytest.mark.guarantee("R15")
def test_a_replay_keeps_the_webhook_id(sink, receiver, make_alert, dispatcher):
    make_alert()
    dispatcher.run()
    assert Delivery.objects.replay() == 1
    dispatcher.run()
    assert receiver.ids() == {str(Delivery.objects.get().id): 2}


@pytest.mark.guarantee("R14")
@ONE(
    ("outcome", "word", "reason"),
    [
        ("refused", "temporary", "connection_refused"),
        ("lost", "unknown", "connection_lost"),
        ("slow", "unknown", "timeout"),
        ("unnamed", "temporary", "dns_error"),
    ],
)
def test_without_an_answer_it_is_tried_again_and_the_attempt_says_why(
    make_webhook, receiver, make_alert, outcome, word, reason
):
    receiver.answers = {"lost": lambda got: lose, "slow": lambda got: hang(receiver)}.get(outcome)
    url = receiver.url()
    if outcome == "refused":
        with Receiver() as gone:
            url = gone.url()
    if outcome == "unnamed":
        url = "http://no-such-host.invalid/"
    make_webhook(url)
    make_alert()
    with open_outlet(AddressGuard(["127.0.0.0/8"]), timeout=1) as way_out:
        Dispatcher(way_out).run()
    delivery, attempt = Delivery.objects.get(), Attempt.objects.get()
    assert (delivery.state, delivery.status) == ("pending", None)
    assert (attempt.outcome, attempt.status) == (word, None)
    assert attempt.reason.startswith(reason)


def test_a_2xx_whose_answer_was_cut_is_delivered_once_and_the_attempt_says_so(
    sink, receiver, make_alert, dispatcher
):
    receiver.answers = lambda got: cut_answer
    make_alert()
    dispatcher.run()
    move_time()
    dispatcher.run()
    attempt = Attempt.objects.get()
    assert (states(), len(receiver.got)) == (["delivered"], 1)
    assert (attempt.outcome, attempt.status, attempt.excerpt) == ("delivered", 200, "hello world")
    assert attempt.reason.startswith("the answer was cut: connection_lost")


async def cut_answer(reader, writer):
    """Announce 40 bytes, send 11, and close the connection."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhello world")
    await writer.drain()
    writer.close()


@pytest.mark.guarantee("R13")
def test_a_redirect_is_not_followed(sink, receiver, make_alert, dispatcher):
    receiver.answers = lambda got: answer(302, [("Location", receiver.url("/elsewhere"))])
    make_alert()
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/hook"]
    assert states() == ["pending"]
    assert "redirects are not followed" in Delivery.objects.get().reason


def test_an_internal_address_is_refused_when_it_is_dialled(make_webhook, receiver, make_alert):
    make_webhook(receiver.url(host="127.0.0.1"))  # as good as a name that has come to point inside
    make_alert()
    with open_outlet(AddressGuard(), timeout=1) as strict:
        Dispatcher(strict).run()
    assert receiver.connections == 0
    assert Attempt.objects.get().reason.startswith("address_refused")
    assert Delivery.objects.get().state == "pending"


# --- Retry-After ----------------------------------------------------------------------------------

IN_AN_HOUR = "in an hour, as a date"


@pytest.mark.guarantee("R12")
@ONE(
    ("text", "least", "most"),
    [
        ("120", 110, 120),
        (" 120 ", 110, 120),
        ("99999999999999999999", 86_300, 86_400),
        (IN_AN_HOUR, 3_000, 3_600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_300, 86_400),
    ],
)
def test_retry_after_holds_the_whole_sink(sink, receiver, make_alert, dispatcher, text, least, most):
    if text == IN_AN_HOUR:
        text = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.answers = lambda got: answer(429, [("Retry-After", text)])
    make_alert()
    dispatcher.run()
    assert least <= hold_of(sink) <= most
    assert least <= wait_of() <= most * 1.2
    make_alert()
    assert dispatcher.run() == 0
    Destination.objects.update(held_until=F("held_until") - timedelta(days=2))
    receiver.answers = lambda got: answer()
    assert dispatcher.run() == 1


@pytest.mark.guarantee("R12")
@ONE(
    "text",
    [
        "",
        "0",
        "-5",
        "1.5",
        "soon",
        "1e9",
        "١٢",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Friday, 31-Dec-99 23:59:59 GMT",
        "Fri, 99 Foo 2030 00:00:00 GMT",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "NaN",
        "x" * 5000,
    ],
)
def test_a_retry_after_that_says_nothing_usable_holds_nothing(sink, receiver, make_alert, dispatcher, text):
    raw = answer(429, [("Retry-After", "@")]).replace(b"@", text.encode())
    receiver.answers = lambda got: raw
    make_alert()
    dispatcher.run()
    assert hold_of(sink) is None
    assert wait_of() <= 6


def test_another_sink_is_not_held(make_webhook, receiver, make_alert, dispatcher):
    make_webhook(receiver.url("/busy"))
    make_webhook(receiver.url("/free"))
    receiver.answers = lambda got: answer(429, [("Retry-After", "60")]) if got.path == "/busy" else answer()
    make_alert()
    dispatcher.run()
    make_alert()
    dispatcher.run()
    assert [got.path for got in receiver.got].count("/free") == 2
    assert [got.path for got in receiver.got].count("/busy") == 1


# --- Disabled -------------------------------------------------------------------------------------


@pytest.mark.guarantee("R13")
def test_a_sink_that_is_gone_is_disabled_and_keeps_its_backlog(sink, receiver, make_alert, dispatcher):
    receiver.answers = lambda got: answer(410)
    for number in range(5):
        make_alert(id=f"a-{number}")
    dispatcher.run()
    parked = Destination.objects.get()
    assert parked.state == "parked"
    assert "410" in parked.state_reason
    make_alert(id="later")
    assert dispatcher.run() == 0
    assert states() == ["pending"] * 6
    assert set(Delivery.objects.values_list("tries", flat=True)) == {0}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"gone"}

    receiver.answers = lambda got: answer()
    configure.resume(parked)
    assert dispatcher.run() == 6
    assert states() == ["delivered"] * 6


class TestDoubts:
    """What a status alone says of credentials may be a proxy's hiccup: a few in a row are believed."""

    @pytest.fixture
    def say(self, receiver, make_alert, dispatcher):
        """Send an alert; the receiver answers with a status."""

        def say(*statuses):
            for status in statuses:
                receiver.answers = lambda got: answer(status)  # noqa: B023
                make_alert(dedup_key=f"{status}-{next(numbers)}")
                dispatcher.run()
            return Destination.objects.get()

        numbers = itertools.count()
        return say

    def test_a_single_401_stops_nothing(self, sink, say):
        assert (say(401).state, states()) == ("active", ["pending"])
        move_time()
        assert (say(200).state, states()) == ("active", ["delivered"] * 2)

    @pytest.mark.guarantee("R13")
    def test_the_third_401_in_a_row_parks_the_sink_and_loses_nothing(self, sink, say, dispatcher):
        assert say(401, 401).state == "active"
        parked = say(401)
        assert (parked.state, parked.doubts) == ("parked", 0)
        assert "401" in parked.state_reason
        assert say(200).state == "parked"
        configure.resume(parked)
        move_time()
        dispatcher.run()
        assert states() == ["delivered"] * 4

    def test_what_is_taken_in_between_ends_the_doubts(self, sink, say):
        assert say(401, 401, 200, 401, 401).state == "active"
        assert say(200).doubts == 0

    def test_what_was_doubted_by_one_process_is_ended_by_another(self, sink, say):
        Destination.objects.update(doubts=2, doubted_since=timezone.now())
        assert say(200, 401).state == "active"

    def test_a_failure_of_another_kind_ends_no_doubt(self, sink, say):
        assert say(401, 500, 401).state == "active"
        assert say(401).state == "parked"

    @pytest.mark.guarantee("R13")
    def test_a_401_more_than_a_minute_after_the_first_parks_the_sink(self, sink, say):
        say(401)
        Destination.objects.update(doubted_since=timezone.now() - timedelta(seconds=61))
        assert say(401).state == "parked"

    def test_a_changed_config_begins_without_doubts(self, sink, say, receiver):
        say(401, 401)
        configure.change(Destination.objects.get(), {"url": receiver.url("/new"), "headers": {}})
        assert say(401).state == "active"


def test_a_repaired_sink_gets_its_backlog_at_its_new_place(sink, receiver, make_alert, dispatcher):
    receiver.answers = lambda got: answer(410 if got.path == "/hook" else 200)
    make_alert()
    dispatcher.run()
    configure.change(sink, {"url": receiver.url("/new")})
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/hook", "/new"]
    assert states() == ["delivered"]


@pytest.mark.guarantee("R21")
def test_a_paused_sink_gets_its_whole_backlog_when_it_is_resumed(sink, receiver, make_alert, dispatcher):
    configure.pause(sink)
    for number in range(5):
        make_alert(id=f"a-{number}")
    assert dispatcher.run() == 0
    configure.resume(sink)
    assert dispatcher.run() == 5


def test_a_changed_config_is_used_by_the_next_try(sink, receiver, make_alert, dispatcher):
    receiver.answers = statuses(500)
    make_alert()
    dispatcher.run()
    configure.change(sink, {"url": receiver.url("/new"), "headers": {"X-Api-Key": "new"}})
    move_time()
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/hook", "/new"]
    assert receiver.got[1].header("X-Api-Key") == "new"


def test_a_sink_whose_secrets_can_not_be_read_is_disabled_and_holds_up_no_other(
    make_webhook, receiver, make_alert, dispatcher
):
    broken = make_webhook(receiver.url("/broken"), config={"headers": {"X-Api-Key": "hunter2"}})
    make_webhook(receiver.url("/well"))
    Destination.objects.filter(id=broken.id).update(sealed_secrets=f"0badc0de:{make_key()}")
    make_alert()
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/well"]
    broken.refresh_from_db()
    assert broken.state == "parked"
    assert "can't be read" in broken.state_reason
    assert "0badc0de" in broken.state_reason
    assert states() == ["delivered", "pending"]
    assert Delivery.objects.get(destination=broken).tries == 0


@ONE("change", [{"config": {"colour": "red"}}, {"sealed_signing_secret": "rubbish"}])
def test_a_row_that_makes_no_sense_parks_its_sink_and_holds_up_no_other(
    make_webhook, receiver, make_alert, dispatcher, change
):
    broken = make_webhook(receiver.url("/broken"))
    make_webhook(receiver.url("/well"))
    make_alert()
    Destination.objects.filter(id=broken.id).update(**change)
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/well"]
    assert Destination.objects.get(id=broken.id).state == "parked"


def test_a_sink_of_a_type_that_this_worker_does_not_know_holds_up_no_other(
    make_webhook, receiver, make_alert, dispatcher
):
    unknown = make_webhook(receiver.url("/unknown"))
    make_webhook(receiver.url("/well"))
    make_alert()
    Destination.objects.filter(id=unknown.id).update(type="of_tomorrow")
    dispatcher.run()
    assert [got.path for got in receiver.got] == ["/well"]
    assert Delivery.objects.get(destination=unknown).state == "pending"


def test_a_sink_deleted_while_its_claim_is_opened_gets_nothing_more(make_webhook, make_alert, monkeypatch):
    sink = make_webhook()
    make_alert()
    world, claim = World(), dispatcher.claim

    def claim_and_delete(*arguments):
        claimed = claim(*arguments)
        configure.delete(sink)
        return claimed

    monkeypatch.setattr(dispatcher, "claim", claim_and_delete)
    Dispatcher(world).run()
    assert world.log == []
    tidy_up()
    assert states() == ["suppressed"]


# --- Evidence -------------------------------------------------------------------------------------


@ONE("status", [200, 500])
def test_an_excerpt_is_kept_whatever_bytes_it_has(sink, receiver, make_alert, dispatcher, status):
    body = b"a\x00b\xff\xfe\xc3(\xed\xa0\x80\xe6\x97\xa5<script>" + b"x" * 100_000
    receiver.answers = lambda got: answer(status, body=body)
    make_alert()
    assert dispatcher.run() == 1
    excerpt = Attempt.objects.get().excerpt
    assert excerpt.startswith("a\ufffdb\ufffd")
    assert "日<script>" in excerpt
    assert "\0" not in excerpt
    assert EXCERPT - 20 <= len(excerpt) <= EXCERPT


def test_an_answer_that_a_type_can_not_read_stops_no_other(make_webhook, make_alert, monkeypatch):
    ill, well = make_webhook("https://ill.example/"), make_webhook("https://well.example/")
    make_alert()

    def read(self, response, messages):
        if self.config.url == ill.config["url"]:
            raise TypeError("'NoneType' object is not subscriptable")
        return unharmed(self, response, messages)

    unharmed = ill.kind.read
    monkeypatch.setattr(ill.kind, "read", read)
    dispatcher = Dispatcher(World())
    dispatcher.run()
    states_by_sink = dict(Delivery.objects.values_list("destination_id", "state"))
    assert states_by_sink == {ill.id: "pending", well.id: "delivered"}
    assert "could not be read" in Delivery.objects.get(destination=ill).reason


def test_an_event_of_a_type_that_this_worker_does_not_know_stops_no_other(make_webhook, make_alert):
    make_webhook()
    make_alert(id="new")
    make_alert(id="known")
    events().filter(key="new").update(type="of_tomorrow")
    world = World()
    Dispatcher(world).run()
    assert len(world.sent()) == 1
    by_key = dict(Delivery.objects.values_list("event__key", "state"))
    assert by_key["known"] == "delivered"
    assert by_key["new"] in ("pending", "failed")


def test_a_type_that_can_not_build_a_request_refuses_that_event_only(make_webhook, make_alert, monkeypatch):
    sink = make_webhook()
    make_alert(id="bad")
    make_alert(id="good")
    unharmed = sink.kind.build

    def build(self, messages, at):
        if b'"bad"' in messages[0].data:
            raise ZeroDivisionError
        return unharmed(self, messages, at)

    monkeypatch.setattr(sink.kind, "build", build)
    Dispatcher(World()).run()
    assert dict(Delivery.objects.values_list("event__key", "state")) == {"bad": "failed", "good": "delivered"}


@ONE("text", ["\ud800 half a pair", "a\0b", "x" * 200_000])
def test_a_reason_that_no_database_takes_is_kept_as_far_as_it_can_be(make_webhook, make_alert, text):
    make_webhook()
    make_alert()
    Dispatcher(World(lambda request: ExchangeFailed("bad_response", text))).run()
    assert states() == ["pending"]
    assert Attempt.objects.count() == 1


def test_slack_answers_are_read_by_slacks_type(acme, make_alert):
    workspace = SlackWorkspace(tenant=acme, team_id="T1", team_name="Team")
    workspace.token = "xoxb-1"
    workspace.save()
    config = {"slack_integration_id": str(workspace.id), "channel_id": "C1"}
    configure.create(acme, "slack", config, name="slack")
    make_alert()
    answers = [b'{"ok":false,"error":"ratelimited"}', b'{"ok":true}']
    world = World(lambda request: Response(200, [], answers.pop(0)))
    Dispatcher(world).run()
    assert states() == ["pending"]
    move_time()
    Destination.objects.update(held_until=None)
    Dispatcher(world).run()
    assert states() == ["delivered"]


# --- Fair -----------------------------------------------------------------------------------------


@pytest.mark.guarantee("R23")
def test_a_sink_that_hangs_with_a_huge_backlog_holds_up_no_other(make_webhook):
    hangs, well = make_webhook("https://hangs.example/"), make_webhook("https://well.example/")
    owe(hangs, 20_000)
    owe(well, 200)
    stop = []
    world = Patience(lambda request: None if "hangs" in request.url else Response(200, [], b""))
    release = world.release

    def released(outcome=None):
        stop.append(True)
        release(outcome)

    world.release = released
    Dispatcher(world, stopping=lambda: bool(stop)).run()
    before = world.log[: world.log.index(("released", None, None))]
    arrived = [id for what, id, url in before if what == "ended" and url == "https://well.example/"]
    assert len(set(arrived)) == 200
    assert len([1 for what, _, url in before if what == "sent" and url == "https://hangs.example/"]) <= 32
    assert Delivery.objects.filter(destination=well, state="delivered").count() == 200


@pytest.mark.guarantee("R23")
def test_a_sink_that_hangs_holds_up_no_other_over_real_sockets(make_webhook, receiver, make_alert, dispatcher):
    hangs, well = make_webhook(receiver.url("/hangs")), make_webhook(receiver.url("/well"))
    receiver.answers = lambda got: hang(receiver) if got.path == "/hangs" else answer()
    owe(hangs, 300)
    owe(well, 200)
    order = []
    unharmed = receiver.answers

    def watched(got):
        order.append(got.path)
        if order.count("/well") == 200:
            receiver.release()
        return unharmed(got)

    receiver.answers = watched
    dispatcher.run()
    assert Delivery.objects.filter(destination=well, state="delivered").count() == 200
    last = len(order) - 1 - order[::-1].index("/well")
    assert order[:last].count("/hangs") <= 32


@pytest.mark.guarantee("R24")
def test_first_tries_are_not_starved_by_retries(make_webhook):
    sink = make_webhook()
    owe(sink, 3000, tries=3)
    move_time(3600)  # the retries have been due for longest
    first = set(map(str, owe(sink, 100)))
    world = World()
    Dispatcher(world).run()
    order = world.sent()
    position = max(order.index(id) for id in first)
    assert position < 300
    assert len(order) == 3100


def test_no_more_is_in_flight_than_there_are_slots(acme, limit, make_webhook):
    limit(acme, event_sinks=140)
    for number in range(140):
        owe(make_webhook(f"https://{number}.example/"), 8)
    world = Patience(lambda request: None, rounds=8)
    world.release = lambda outcome=None, release=world.release: release(Response(200, [], b""))
    Dispatcher(world).run()
    assert world.most == dispatcher.SLOTS == 1000
    assert len(world.sent()) == 1120


@pytest.mark.guarantee("R23")
def test_many_sinks_that_hang_hold_up_no_other(make_webhook):
    for number in range(32):
        owe(make_webhook(f"https://hangs-{number}.example/"), 100)
    well = make_webhook("https://well.example/")
    world = Patience(lambda request: None if "hangs" in request.url else Response(200, [], b""), rounds=12)
    unharmed = world.waited

    def waited(wait):
        if len(world.held) >= 256 and not Delivery.objects.filter(destination=well).exists():
            owe(well, 20)  # comes in while they hang
        unharmed(wait)

    world.waited = waited
    stop = []
    world.release = lambda release=world.release: (stop.append(True), release())
    Dispatcher(world, stopping=lambda: bool(stop)).run()
    before = world.log[: world.log.index(("released", None, None))]
    assert len([1 for what, _, url in before if what == "ended" and url == "https://well.example/"]) == 20


# --- Interrupted ----------------------------------------------------------------------------------


@pytest.mark.guarantee("R25")
def test_stopping_finishes_what_is_in_flight_and_claims_no_more(make_webhook):
    sink = make_webhook()
    owe(sink, 500)
    stop = threading.Event()
    world = Patience(lambda request: None)
    start = world.start

    def start_then_stop(request, token):
        start(request, token)
        if len(world.sent()) == 10:
            stop.set()

    world.start = start_then_stop
    world.release = lambda outcome=None, release=world.release: release(Response(200, [], b""))
    settled = Dispatcher(world, stopping=stop.is_set).run()
    assert settled == len(world.sent()) < 500
    assert states().count("delivered") == settled
    assert "sending" not in states()
    Dispatcher(World()).run()
    assert states() == ["delivered"] * 500


def test_what_was_stopped_before_it_began_claims_nothing(make_webhook):
    owe(make_webhook(), 3)
    assert Dispatcher(World(), stopping=lambda: True).run() == 0
    assert states() == ["pending"] * 3


@pytest.mark.guarantee("R15")
def test_what_a_lost_worker_held_is_sent_again_with_the_same_id(sink, receiver, make_alert, dispatcher):
    make_alert()

    class Crash(Exception):
        pass

    world = World(lambda request: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash):
        Dispatcher(world).run()
    assert dispatcher.run() == 0  # its lease still holds
    move_time()
    assert dispatcher.run() == 1
    assert receiver.ids() == {str(Delivery.objects.get().id): 1}
    assert Delivery.objects.get().tries == 2


def test_an_event_that_kills_its_workers_runs_out(make_webhook, make_alert):
    make_webhook()
    make_alert()
    for _ in range(get_max_tries()):
        dispatcher = Dispatcher(World(lambda request: (_ for _ in ()).throw(SystemExit)))
        with pytest.raises(SystemExit):
            dispatcher.run()
        move_time()
    world = World()
    Dispatcher(world).run()
    assert world.log == []
    assert tidy_up() == 1
    assert states() == ["failed"]


@pytest.mark.guarantee("R5")
def test_settling_goes_on_when_the_database_comes_back(make_webhook, make_alert, monkeypatch):
    make_webhook()
    make_alert()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(connection, "close", lambda: None)  # this test's transaction is on it
    failures = [OperationalError("the database system is shutting down")] * 3
    unharmed = settle_attempts.settle

    def settle(settlements):
        if failures:
            raise failures.pop()
        return unharmed(settlements)

    monkeypatch.setattr(settle_attempts, "settle", settle)
    Dispatcher(World()).run()
    assert states() == ["delivered"]


@pytest.mark.guarantee("R5")
def test_settling_gives_up_in_the_end_and_the_delivery_is_due_again(make_webhook, make_alert, monkeypatch):
    make_webhook()
    make_alert()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(connection, "close", lambda: None)

    def settle(settlements):
        raise OperationalError("gone for good")

    monkeypatch.setattr(settle_attempts, "settle", settle)
    dispatcher = Dispatcher(World())
    with pytest.raises(OperationalError):
        dispatcher.run()
    monkeypatch.undo()
    assert states() == ["sending"]
    move_time()
    dispatcher.run()
    assert states() == ["delivered"]


@pytest.mark.guarantee("R5")
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no server to lose")
@pytest.mark.django_db(transaction=True)
def test_a_connection_cut_by_the_database_is_opened_anew(make_webhook, make_alert, monkeypatch):
    make_webhook()
    make_alert()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    cut = []

    class Cutting(World):
        def poll(self, wait):
            if not cut:
                cut.append(True)
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    pid = cursor.fetchone()[0]
                kill = threading.Thread(target=terminate, args=[pid])
                kill.start()
                kill.join(10)
            return super().poll(wait)

    def terminate(pid):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        connection.close()

    Dispatcher(Cutting()).run()
    assert states() == ["delivered"]


@pytest.mark.guarantee("R10")
def test_two_dispatchers_at_once_send_each_delivery_once(make_webhook, transactional_db):
    for _ in range(4):
        owe(make_webhook(), 100)
    worlds = [World() for _ in range(4)]

    def work(world):
        Dispatcher(world).run()
        connection.close()

    threads = [threading.Thread(target=work, args=[world]) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sent = [id for world in worlds for id in world.sent()]
    assert len(sent) == len(set(sent)) == 400
    assert states() == ["delivered"] * 400


def test_settling_what_is_not_ours_any_more_is_told_in_the_log(make_webhook, make_alert, caplog):
    make_webhook()
    make_alert()
    settlements = []
    unharmed = settle_attempts.settle_surely

    def late(found):
        settlements.extend(found)
        move_time()
        Dispatcher(World()).run()  # somebody else takes and delivers it
        return []

    settle_attempts.settle_surely = lambda found: (
        setattr(settle_attempts, "settle_surely", unharmed),
        late(found),
    )[1]
    try:
        Dispatcher(World()).run()
    finally:
        settle_attempts.settle_surely = unharmed
    settle_surely(settlements)
    assert "not ours any more" in caplog.text
    assert states() == ["delivered"]
    assert Attempt.objects.count() == 2


def test_json_of_an_event_is_never_written_anew(sink, receiver, make_alert, dispatcher, acme):
    make_alert(id="1", big=2**80)
    dispatcher.run()
    assert json.loads(receiver.got[0].body)["big"] == 2**80
