"""Accept: what it says is committed, whole, once, for this tenant alone, and to the byte."""

import json
import uuid
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from eventsinks.actions import configure
from eventsinks.event_types import event_type
from eventsinks.intake import accept as accepting
from eventsinks.intake import commit as committing
from eventsinks.intake.accept import accept
from eventsinks.lib.net.wire import Response
from eventsinks.models import Delivery, Event
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.crowd import at_once

ALERT = event_type("detection_alert")


def alert(**fields):
    return json.dumps({"name": "Root login", "severity": "High", **fields}).encode()


def take(tenant, *documents):
    return accept(tenant, ALERT, documents)


def events():
    """Return the alerts. (A change of a sink is an event too: of the audit log.)"""
    return Event.objects.filter(type="detection_alert")


def stored():
    return bytes(events().get().data)


# --- Committed whole or not at all ----------------------------------------------------------------


def test_what_is_accepted_is_there_with_all_it_is_owed(acme, make_webhook):
    sinks = {make_webhook().id, make_webhook().id}
    taken = take(acme, alert(id="a-1"), alert(id="a-2"))
    assert taken.keys == ["a-1", "a-2"]
    assert taken.deliveries == 4
    assert taken.rejections == taken.duplicates == []
    assert set(events().values_list("tenant", "type", "key")) == {
        (acme.id, "detection_alert", "a-1"),
        (acme.id, "detection_alert", "a-2"),
    }
    assert {(d.event.key, d.destination_id) for d in Delivery.objects.all()} == {
        (key, sink) for key in ("a-1", "a-2") for sink in sinks
    }
    assert taken.received_at == events().get(key="a-2").received_at
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


@pytest.mark.guarantee("R1")
def test_a_rollback_leaves_neither_event_nor_delivery(acme, make_webhook):
    make_webhook()
    with transaction.atomic():
        take(acme, alert())
        assert (events().count(), Delivery.objects.count()) == (1, 1)
        transaction.set_rollback(True)
    assert (events().count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.guarantee("R1")
def test_deliveries_that_cannot_be_written_take_the_events_with_them(acme, make_webhook, monkeypatch):
    make_webhook()
    written = []

    def refuse(rows):
        written.append((len(rows), events().count()))
        raise DatabaseError("disk full")

    monkeypatch.setattr(committing, "insert_deliveries", refuse)
    with pytest.raises(DatabaseError):
        take(acme, alert())
    assert written == [(1, 1)]
    assert (events().count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.guarantee("R1")
@pytest.mark.django_db(transaction=True)
def test_nobody_sees_an_event_without_its_deliveries(acme, make_webhook):
    for _ in range(3):
        make_webhook()
    seen = []

    def act(index):
        if index == 0:
            for number in range(40):
                take(acme, alert(id=f"a-{number}"))
        else:
            while len(seen) < 2000 and events().count() < 40:
                with transaction.atomic():
                    if connection.vendor == "postgresql":
                        with connection.cursor() as cursor:
                            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    seen.append((events().count(), Delivery.objects.count()))
        return "done"

    assert at_once(2, act) == ["done", "done"]
    assert seen
    assert [pair for pair in seen if pair[1] != 3 * pair[0]] == []


# --- Once -----------------------------------------------------------------------------------------


def test_the_same_again_is_a_duplicate_and_is_owed_to_nobody(acme, make_webhook):
    make_webhook()
    take(acme, alert(id="a-1"))
    again = take(acme, alert(id="a-1"))
    assert (again.keys, again.duplicates, again.deliveries, again.rejections) == ([], ["a-1"], 0, [])
    assert (events().count(), Delivery.objects.count()) == (1, 1)


@pytest.mark.guarantee("R16")
def test_the_same_id_with_other_content_is_a_conflict(acme, make_webhook):
    make_webhook()
    take(acme, alert(id="a-1"))
    clash = take(acme, alert(id="a-1", name="Another"))
    (rejection,) = clash.rejections
    assert (rejection.index, rejection.field, rejection.conflict) == (0, "id", True)
    assert (clash.keys, clash.duplicates) == ([], [])
    assert b"Another" not in stored()


def test_the_same_twice_in_one_request_is_one_and_other_content_a_conflict(acme, make_webhook):
    make_webhook()
    taken = take(acme, alert(id="a"), alert(id="b"), alert(id="a"), alert(id="b", name="Other"))
    assert (taken.keys, taken.duplicates) == (["a", "b"], ["a"])
    assert [(r.index, r.conflict) for r in taken.rejections] == [(3, True)]
    assert Delivery.objects.count() == 2


def test_one_bad_document_does_not_hold_back_the_others(acme, make_webhook):
    make_webhook()
    taken = take(acme, alert(id="a"), b"{", alert(id="b"), alert(severity="Dire"), alert(id="c"))
    assert taken.keys == ["a", "b", "c"]
    assert [rejection.index for rejection in taken.rejections] == [1, 3]
    assert Delivery.objects.count() == 3


def test_a_replayed_request_of_many_is_all_duplicates(acme, make_webhook):
    make_webhook()
    documents = [alert(id=f"a-{number}") for number in range(500)]
    assert len(take(acme, *documents).keys) == 500
    assert len(take(acme, *documents).duplicates) == 500
    assert Delivery.objects.count() == 500


def test_in_a_mixed_array_every_new_alert_goes_where_it_says_and_nothing_else_does(acme, make_webhook):
    one, other = make_webhook(), make_webhook()

    def to(sink, id, **fields):
        return alert(id=id, event_sink_ids=[str(sink.uuid)], **fields)

    take(acme, to(one, "known"))
    taken = take(
        acme,
        to(one, "a"),
        to(other, "known"),  # a conflict: it went to another sink
        to(other, "b"),
        to(one, "a"),
        to(one, "known"),
        to(other, "c"),
        to(other, "a", name="Other"),
    )
    assert (taken.keys, taken.duplicates, taken.deliveries) == (["a", "b", "c"], ["a", "known"], 3)
    assert [(r.index, r.conflict) for r in taken.rejections] == [(1, True), (6, True)]
    went = {delivery.event.key: delivery.destination_id for delivery in Delivery.objects.select_related("event")}
    assert went == {"known": one.id, "a": one.id, "b": other.id, "c": other.id}


def test_what_is_new_is_not_looked_for(acme, make_webhook):
    make_webhook()
    with CaptureQueriesContext(connection) as asked:
        take(acme, alert(id="a"), alert(id="b"))
    reads = [q["sql"] for q in asked if q["sql"].startswith("SELECT") and "eventsinks_event" in q["sql"]]
    assert reads == []


def test_looking_for_known_ids_reads_those_alone_in_a_table_that_was_never_analysed(acme):
    take(acme, *[alert(id=f"a-{number}") for number in range(2000)])
    with CaptureQueriesContext(connection) as asked:
        take(acme, alert(id="new"), *[alert(id=f"a-{number}") for number in range(3)])
    looks = [q["sql"] for q in asked if "SELECT" in q["sql"] and "eventsinks_event" in q["sql"]]
    assert looks
    explain = "EXPLAIN (ANALYZE)" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        for look in looks:
            cursor.execute(f"{explain} {look}")
            plan = str(cursor.fetchall())
            assert "Rows Removed by Filter" not in plan
            assert "key=" in plan or "(key)::text = " in plan


@pytest.mark.guarantee("R16")
@pytest.mark.django_db(transaction=True)
def test_50_parallel_posts_of_the_same_make_one_event(acme, make_webhook):
    make_webhook()
    results = at_once(50, lambda index: take(acme, alert(id="a-1")))
    assert sorted(len(taken.keys) for taken in results) == [0] * 49 + [1]
    assert sorted(len(taken.duplicates) for taken in results) == [0] + [1] * 49
    assert (events().count(), Delivery.objects.count()) == (1, 1)


@pytest.mark.guarantee("R16")
@pytest.mark.django_db(transaction=True)
def test_parallel_posts_of_the_same_id_with_different_content_are_one_event_and_conflicts(acme, make_webhook):
    make_webhook()
    results = at_once(8, lambda index: take(acme, alert(id="a-1", name=f"by {index}")))
    assert sorted(len(taken.keys) for taken in results) == [0] * 7 + [1]
    assert sum(rejection.conflict for taken in results for rejection in taken.rejections) == 7
    assert Delivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_parallel_batches_that_share_ids_in_another_order_are_each_taken_once(acme, make_webhook):
    make_webhook()
    documents = [alert(id=f"a-{number:03}") for number in range(300)]
    results = at_once(6, lambda index: take(acme, *(documents if index % 2 else documents[::-1])))
    assert [taken for taken in results if isinstance(taken, Exception)] == []
    assert sum(len(taken.keys) for taken in results) == 300
    assert sum(len(taken.duplicates) for taken in results) == 1500
    assert (events().count(), Delivery.objects.count()) == (300, 300)


def deadlocks(monkeypatch, times, says="deadlock detected"):
    """Let the first commits be lost to another; return what was tried."""
    tried, commit = [], accepting.commit

    def losing(*arguments):
        tried.append(arguments)
        if len(tried) <= times:
            raise OperationalError(says)
        return commit(*arguments)

    monkeypatch.setattr(accepting, "commit", losing)
    return tried


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [1, 4])
def test_who_loses_a_deadlock_tries_again_and_says_what_is_true_in_the_end(acme, make_webhook, monkeypatch, times):
    make_webhook()
    tried = deadlocks(monkeypatch, times)
    assert take(acme, alert(id="a"), b"{}").keys == ["a"]
    assert (len(tried), events().count(), Delivery.objects.count()) == (times + 1, 1, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("says", "tries"), [("deadlock detected", 5), ("the disk is full", 1)])
def test_who_loses_deadlocks_for_ever_or_has_other_trouble_is_told(acme, monkeypatch, says, tries):
    tried = deadlocks(monkeypatch, 99, says)
    with pytest.raises(OperationalError, match=says):
        take(acme, alert(id="a"))
    assert (len(tried), events().count()) == (tries, 0)


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_within_somebody_else_s_transaction_is_his_to_run_again(acme, monkeypatch):
    tried = deadlocks(monkeypatch, 1)
    with pytest.raises(OperationalError), transaction.atomic():
        take(acme, alert(id="a"))
    assert len(tried) == 1


def test_the_order_of_the_documents_is_the_order_of_the_log(acme):
    keys = [f"a-{number}" for number in (5, 3, 9, 1)]
    assert take(acme, *[alert(id=key) for key in keys]).keys == keys
    assert list(events().order_by("id").values_list("key", flat=True)) == keys


# --- For this tenant ------------------------------------------------------------------------------


@pytest.mark.guarantee("R17")
def test_the_same_id_in_two_tenants_is_two_events(acme, globex, make_webhook):
    mine, theirs = make_webhook(), make_webhook(tenant=globex)
    assert take(acme, alert(id="a-1")).keys == ["a-1"]
    assert take(globex, alert(id="a-1", name="Theirs")).keys == ["a-1"]
    assert {(d.event.tenant_id, d.destination_id) for d in Delivery.objects.all()} == {
        (acme.id, mine.id),
        (globex.id, theirs.id),
    }


def test_an_event_goes_only_to_the_sinks_it_names(acme, make_webhook):
    make_webhook()
    wanted = make_webhook()
    take(acme, alert(event_sink_ids=[str(wanted.uuid), str(wanted.uuid).upper()]))
    assert Delivery.objects.get().destination_id == wanted.id


def test_an_event_that_names_no_sinks_goes_nowhere_and_is_kept(acme, make_webhook):
    make_webhook()
    assert take(acme, alert(event_sink_ids=[])).deliveries == 0
    assert events().count() == 1


@pytest.mark.parametrize("whose", ["nobody", "globex", "deleted"])
def test_a_sink_that_is_not_the_tenants_is_an_error_that_names_it(acme, globex, make_webhook, whose):
    mine = make_webhook()
    other = {
        "nobody": lambda: uuid.uuid4(),
        "globex": lambda: make_webhook(tenant=globex).uuid,
        "deleted": lambda: (sink := make_webhook()) and configure.delete(sink) and sink.uuid,
    }[whose]()
    taken = take(acme, alert(event_sink_ids=[str(mine.uuid), str(other)]))
    assert [(r.index, r.field) for r in taken.rejections] == [(0, "event_sink_ids.1")]
    assert (events().count(), Delivery.objects.count()) == (0, 0)


def test_what_is_not_an_id_of_a_sink_is_an_error_that_names_it(acme):
    (rejection,) = take(acme, alert(event_sink_ids=["nonsense"])).rejections
    assert rejection.field == "event_sink_ids.0"


def test_another_tenants_id_in_the_event_is_refused(acme, globex):
    assert take(acme, alert(tenant_id=str(globex.id))).rejections[0].field == "tenant_id"
    assert take(acme, alert(tenant_id=str(acme.id))).rejections == []


def test_paused_and_disabled_sinks_are_owed_what_comes(acme, make_webhook):
    configure.pause(make_webhook())
    make_webhook(enabled=False)
    assert take(acme, alert()).deliveries == 2


def test_a_sink_hears_only_its_event_types(acme, make_webhook):
    deaf = make_webhook()
    type(deaf).objects.filter(id=deaf.id).update(event_types=["audit"])
    assert take(acme, alert()).deliveries == 0


def test_staging_is_kept_and_sent_nowhere(acme, make_webhook):
    make_webhook()
    assert take(acme, alert(staging=True)).deliveries == 0
    assert events().count() == 1


# --- To the byte ----------------------------------------------------------------------------------

EXACT = [
    b'{"id":"1","severity":"Low","name":"n","big":123456789012345678901234567890,"f":1.10,"e":1E5}',
    b'{"z":1,"id":"1","a":2,"severity":"Low","name":"n","m":3}',
    b'{"id" : "1",\n\t"severity":"Low" , "name":"\\u00e9\\/\xc3\xa9","unknown":{"deep":[null,true,{}]}}',
    b'{"id":"1","severity":"Low","name":"n","dup":1,"dup":2}',
    b'{"id":"1","severity_id":99,"name":"n","minus":-0,"tiny":1e-400}',
    b'{"id":"1","severity":"low","name":"n","":"empty key","\\ud83d\\ude00":"\xf0\x9f\x98\x80"}',
]


@pytest.mark.parametrize("raw", EXACT)
def test_an_event_is_kept_as_it_came_to_the_byte(acme, raw):
    assert take(acme, raw).keys == ["1"]
    assert stored() == raw


@pytest.mark.guarantee("S16")
@pytest.mark.parametrize("raw", EXACT)
def test_an_event_goes_on_as_it_came_to_the_byte(acme, make_webhook, raw):
    make_webhook()
    take(acme, raw)
    world = Recorder()
    Dispatcher(world).run()
    assert [request.body for request in world.requests] == [raw]


def test_white_space_around_an_event_is_not_kept(acme):
    take(acme, b' \r\n{"id":"1","severity":"Low","name":"n"}\n')
    assert stored() == b'{"id":"1","severity":"Low","name":"n"}'


@pytest.mark.parametrize("before", [b"", b" ", b"\n\t"])
def test_an_id_is_put_at_the_front_where_there_is_none(acme, before):
    rest = b'"severity":"Low","name":"n","big":123456789012345678901234567890}'
    (key,) = take(acme, b"{" + before + rest).keys
    assert uuid.UUID(key).version == 4
    assert stored() == b'{"id":"%s",%s' % (key.encode(), rest)


def test_an_event_without_an_id_is_new_each_time(acme):
    assert take(acme, alert()).keys != take(acme, alert()).keys
    assert events().count() == 2


def test_an_id_that_is_null_does_not_end_up_beside_another(acme):
    taken = take(acme, b'{"id":null,"severity":"Low","name":"n"}')
    if taken.keys:
        assert events().get().document["id"] == taken.keys[0]
    else:
        assert taken.rejections[0].field == "id"


def test_an_odd_id_is_the_events_key(acme):
    odd = 'x"\\é日 %s {}' + "y" * 200
    assert take(acme, alert(id=odd)).keys == [odd]
    assert take(acme, alert(id=odd)).duplicates == [odd]


# --- What is not an event -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"{",
        b"{}",
        b'{"name":"n","severity":"Low"',
        b'{"name":"n","severity":"Low"}}',
        b'{"name":"n","severity":"Low",}',
        b'{"name":"n","severity":"Low","x":NaN}',
        b'{"name":"n","severity":"Low","x":Infinity}',
        b'{"name":"n","severity":"Low","x":-Infinity}',
        b'{"name":"n","severity":"Low","x":01}',
        b'{"name":"n","severity":"Low","x":"\xff"}',
        b'{"name":"n","severity":"Low","x":"\\ud800"}',
        b'\xef\xbb\xbf{"name":"n","severity":"Low"}',
        b"{'name':'n','severity':'Low'}",
        b'{"name":"n","severity":"Low"} // note',
        b'{"name":"n"}',
        b'{"severity":"Low"}',
        b'{"name":"","severity":"Low"}',
        b'{"name":5,"severity":"Low"}',
        b'{"name":"n","severity":"Dire"}',
        b'{"name":"n","severity_id":7}',
        b'{"name":"n","severity_id":true}',
        b'{"id":"","name":"n","severity":"Low"}',
        b'{"id":5,"name":"n","severity":"Low"}',
        b'{"id":"a\\u0000b","name":"n","severity":"Low"}',
        b'{"name":"n","severity":"Low","timestamp":"yesterday"}',
        b'{"name":"n","severity":"Low","timestamp":1e3}',
        b'{"name":"n","severity":"Low","x":' + b"[" * 100_000,
        b'{"name":"n","severity":"Low","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name":"n","severity":"Low","x":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
    ],
    ids=range(35),
)
def test_what_is_not_an_event_is_refused_with_a_reason(acme, raw):
    taken = take(acme, raw)
    assert [rejection.message != "" for rejection in taken.rejections] == [True]
    assert events().count() == 0


def test_two_megabytes_are_too_large(acme):
    taken = take(acme, alert(note="x" * 2_000_000))
    assert taken.rejections[0].too_large
    assert str(settings.EVENTSINKS_MAX_EVENT_BYTES) in taken.rejections[0].message
    assert events().count() == 0


@pytest.mark.guarantee("S16")
@pytest.mark.parametrize(("more", "taken"), [(0, 1), (1, 0)])
def test_the_limit_of_an_events_size_is_exact(acme, more, taken):
    padding = settings.EVENTSINKS_MAX_EVENT_BYTES - len(alert(id="1", note="")) + more
    raw = alert(id="1", note="x" * padding)
    assert len(take(acme, raw).keys) == taken


# --- When it happened -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timestamp", "occurred_at"),
    [
        (1777887000123456789, datetime(2026, 5, 4, 9, 30, 0, 123456, UTC)),
        ("2026-05-04T11:30:00+02:00", datetime(2026, 5, 4, 9, 30, tzinfo=UTC)),
        ("2026-05-04T09:30:00Z", datetime(2026, 5, 4, 9, 30, tzinfo=UTC)),
        ("2026-05-04T09:30:00.123456789Z", datetime(2026, 5, 4, 9, 30, 0, 123456, UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_when_it_happened_is_read(acme, timestamp, occurred_at):
    take(acme, alert(timestamp=timestamp))
    assert events().get().occurred_at == occurred_at


@pytest.mark.parametrize(
    "timestamp",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        2**63 - 1,
        -(2**63),
        10**30,
        -(10**30),
        253402300800 * 10**9,
    ],
)
def test_an_extreme_time_is_refused_or_does_no_harm(acme, make_webhook, timestamp):
    make_webhook()
    taken = take(acme, alert(id="1", timestamp=timestamp))
    if taken.rejections:
        assert taken.rejections[0].field.startswith("timestamp")
        return
    world = Recorder()
    Dispatcher(world).run()
    assert len(world.requests) == 1


class Recorder:
    """A world that takes everything."""

    rested = 0.0

    def __init__(self):
        self.requests, self._tokens = [], []

    @property
    def in_flight(self):
        return len(self._tokens)

    def start(self, request, token):
        self.requests.append(request)
        self._tokens.append(token)

    def poll(self, wait):
        tokens, self._tokens = self._tokens, []
        return [(token, Response(200, [], b"")) for token in tokens]

    def wake(self):
        pass

    def close(self):
        pass
