"""The state machine of deliveries: each move is made by the one who may, from the state it leaves."""

import random
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from eventsinks.actions import configure
from eventsinks.models import Attempt, Delivery, Destination
from eventsinks.models.delivery import Settlement, claim, find_due_lanes, give_up_lost, settle
from eventsinks.sweeping.tidy import tidy_up

MAX_TRIES = 10
LEASE = 60.0


def claim_all(quota=1000, lease=LEASE, max_tries=MAX_TRIES):
    return claim([(lane, quota) for lane in find_due_lanes(max_tries)], lease)


def settled(claimed, state="delivered", **evidence):
    evidence.setdefault("outcome", {"delivered": "delivered", "failed": "refused"}.get(state, "temporary"))
    return Settlement(claimed, uuid.uuid4(), state, started_at=datetime.now(UTC), **evidence)


def move_time(seconds, **which):
    """Let `seconds` pass for deliveries, by moving what they wait for."""
    Delivery.objects.filter(**which).update(due_at=F("due_at") - timedelta(seconds=seconds))


def states():
    return sorted(Delivery.objects.values_list("state", flat=True))


@pytest.fixture
def sink(make_webhook):
    return make_webhook()


@pytest.fixture
def delivery(sink, make_alert):
    make_alert()
    return Delivery.objects.get()


# --- Claim ----------------------------------------------------------------------------------------


def test_what_is_due_is_claimed_with_its_event(sink, make_alert, acme):
    make_alert(id="a-1", note="as it came")
    (claimed,) = claim_all()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries, delivery.lease) == ("sending", 1, claimed.lease)
    assert (claimed.id, claimed.destination_id, claimed.tries) == (delivery.id, sink.id, 1)
    assert (claimed.tenant_id, claimed.event_type) == (acme.id, "detection_alert")
    assert b'"note": "as it came"' in bytes(claimed.data)


def test_a_claim_ends_with_its_lease(delivery):
    claim_all(lease=60)
    held = Delivery.objects.annotate(left=F("due_at") - Now()).get()
    assert timedelta(seconds=50) < held.left <= timedelta(seconds=60)


def test_what_is_not_due_yet_is_not_claimed(delivery):
    move_time(-30)
    assert find_due_lanes(MAX_TRIES) == []
    move_time(31)
    assert len(claim_all()) == 1


def test_what_somebody_holds_is_not_claimed_again(delivery):
    claim_all()
    assert claim_all() == []


@pytest.mark.guarantee("R7")
def test_what_lost_its_worker_is_claimed_again_under_another_lease(delivery):
    (first,) = claim_all()
    move_time(LEASE + 1)
    (second,) = claim_all()
    assert second.id == first.id
    assert second.lease != first.lease
    assert second.tries == 2


def test_tries_rise_with_each_claim_until_there_are_none_left(delivery):
    for number in range(1, MAX_TRIES + 1):
        (claimed,) = claim_all()
        assert claimed.tries == number
        move_time(LEASE + 1)
    assert claim_all() == []


def test_the_oldest_due_is_claimed_first_and_no_more_than_the_quota(sink, make_alert):
    for number in range(6):
        make_alert(id=f"a-{number}")
    ids = list(Delivery.objects.order_by("id").values_list("id", flat=True))
    shuffled = random.sample(ids, len(ids))
    for age, id in enumerate(shuffled):
        move_time(100 - age, id=id)
    assert {one.id for one in claim_all(quota=4)} == set(shuffled[:4])
    assert {one.id for one in claim_all(quota=4)} == set(shuffled[4:])


def test_each_number_of_tries_is_a_lane_of_its_own(make_webhook, make_alert):
    sinks = [make_webhook(), make_webhook()]
    for number in range(4):
        make_alert(id=f"a-{number}")
    tried = Delivery.objects.filter(destination=sinks[1])[:2]
    Delivery.objects.filter(id__in=[one.id for one in tried]).update(tries=3)
    lanes = {(lane.destination_id, lane.tries) for lane in find_due_lanes(MAX_TRIES)}
    assert lanes == {(sinks[0].id, 0), (sinks[1].id, 0), (sinks[1].id, 3)}
    quotas = [(lane, 1) for lane in find_due_lanes(MAX_TRIES)]
    assert sorted((one.destination_id, one.tries) for one in claim(quotas, LEASE)) == [
        (sinks[0].id, 1),
        (sinks[1].id, 1),
        (sinks[1].id, 4),
    ]


@pytest.mark.parametrize("state", ["paused", "parked"])
def test_a_sink_that_is_not_active_is_left_alone_and_keeps_its_backlog(sink, make_alert, state):
    make_alert()
    Destination.objects.update(state=state)
    make_alert()
    assert find_due_lanes(MAX_TRIES) == []
    assert states() == ["pending", "pending"]
    Destination.objects.update(state="active")
    assert len(claim_all()) == 2


def test_a_sink_on_hold_is_left_alone_until_the_hold_is_over(delivery):
    Destination.objects.update(held_until=Now() + timedelta(seconds=30))
    assert find_due_lanes(MAX_TRIES) == []
    Destination.objects.update(held_until=Now() - timedelta(seconds=1))
    assert len(find_due_lanes(MAX_TRIES)) == 1


def test_a_deleted_sink_is_left_alone(delivery):
    Destination.objects.update(deleted_at=Now())
    assert find_due_lanes(MAX_TRIES) == []


def test_a_lane_tells_the_version_of_the_sinks_configuration(sink, delivery):
    configure.change(sink, name="another")
    assert [lane.version for lane in find_due_lanes(MAX_TRIES)] == [2]


def test_a_lane_whose_oldest_is_held_by_a_worker_is_still_seen(sink, make_alert):
    make_alert()
    claim_all()
    Delivery.objects.update(tries=0)  # the same lane as what comes now
    make_alert()
    assert len(find_due_lanes(MAX_TRIES)) == 1
    assert len(claim_all()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_claimers_never_take_the_same(make_webhook, make_alert):
    for _ in range(3):
        make_webhook()
    for number in range(60):
        make_alert(id=f"a-{number}")
    taken, barrier = [], threading.Barrier(6)

    def work():
        try:
            barrier.wait(10)
            while True:
                claimed = claim_all(quota=5)
                taken.extend(claimed)
                if not claimed and not find_due_lanes(MAX_TRIES):
                    return
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == 180
    assert len({one.id for one in taken}) == 180


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_transaction_holds_is_skipped_and_not_waited_for(sink, make_alert):
    make_alert(id="held")
    make_alert(id="free")
    held = Delivery.objects.order_by("id").first()
    ready, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Delivery.objects.select_for_update().get(id=held.id)
            ready.set()
            done.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait(10)
    claimed = claim_all()
    done.set()
    holder.join(10)
    assert [one.id for one in claimed] == [Delivery.objects.exclude(id=held.id).get().id]


# --- Settle ---------------------------------------------------------------------------------------


def test_a_delivered_one_is_done_and_leaves_its_evidence(delivery):
    (claimed,) = claim_all()
    assert settle([settled(claimed, status=204, excerpt="thanks", peer="93.184.216.34")]) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.lease, delivery.status, delivery.tries) == ("delivered", None, 204, 1)
    assert delivery.settled_at is not None
    attempt = Attempt.objects.get()
    assert (attempt.delivery_id, attempt.number, attempt.outcome) == (delivery.id, 1, "delivered")
    assert (attempt.status, attempt.excerpt, attempt.peer) == (204, "thanks", "93.184.216.34")
    assert abs(attempt.started_at - datetime.now(UTC)) < timedelta(minutes=1)
    move_time(1e6)
    assert claim_all() == []


def test_one_to_be_tried_again_waits_for_its_pause(delivery):
    (claimed,) = claim_all()
    settle([settled(claimed, "pending", pause=30.0, status=500, reason="it answered 500")])
    waiting = Delivery.objects.annotate(left=F("due_at") - Now()).get()
    assert timedelta(seconds=20) < waiting.left <= timedelta(seconds=30)
    assert (waiting.state, waiting.lease, waiting.settled_at) == ("pending", None, None)
    assert (waiting.status, waiting.reason, waiting.tries) == (500, "it answered 500", 1)
    assert claim_all() == []
    move_time(31)
    assert [one.tries for one in claim_all()] == [2]


def test_a_try_that_does_not_count_is_given_back(delivery):
    (claimed,) = claim_all()
    settle([settled(claimed, "pending", given_back=1, outcome="gone")])
    assert Delivery.objects.get().tries == 0
    assert [one.tries for one in claim_all()] == [1]


def test_a_failed_one_is_not_tried_again(delivery):
    (claimed,) = claim_all()
    settle([settled(claimed, "failed", reason="refused")])
    move_time(1e6)
    failed = Delivery.objects.get()
    assert (failed.state, failed.reason, claim_all()) == ("failed", "refused", [])
    assert failed.settled_at is not None


@pytest.mark.guarantee("R6")
def test_a_worker_that_lost_its_lease_settles_nothing_but_leaves_its_attempt(delivery):
    (late,) = claim_all()
    move_time(LEASE + 1)
    (now,) = claim_all()
    assert settle([settled(late, "failed")]) == 0
    held = Delivery.objects.get()
    assert (held.state, held.lease, held.tries) == ("sending", now.lease, 2)
    assert [attempt.number for attempt in Attempt.objects.all()] == [1]
    assert settle([settled(now)]) == 1
    assert settle([settled(late, "pending", pause=1.0)]) == 0
    assert states() == ["delivered"]
    assert Attempt.objects.count() == 3


def test_a_late_worker_settles_what_nobody_took_meanwhile(delivery):
    (late,) = claim_all()
    move_time(LEASE + 1)
    assert settle([settled(late)]) == 1
    assert states() == ["delivered"]


@pytest.mark.parametrize("state", ["delivered", "pending", "failed"])
def test_settling_twice_is_as_good_as_once(delivery, state):
    (claimed,) = claim_all()
    once = settled(claimed, state, pause=30.0, given_back=1)
    assert settle([once]) == 1
    before = Delivery.objects.values().get()
    assert settle([once]) == 0
    assert Delivery.objects.values().get() == before
    assert Attempt.objects.count() == 1


def test_many_are_settled_at_once_each_its_own_way(sink, make_alert):
    for number in range(5):
        make_alert(id=f"a-{number}")
    lost, *claimed = claim_all()
    move_time(LEASE + 1, id=lost.id)
    claim_all()
    ways = ["delivered", "pending", "failed", "delivered"]
    moved = settle([settled(lost), *map(settled, claimed, ways)])
    assert moved == 4
    assert states() == ["delivered", "delivered", "failed", "pending", "sending"]
    for one, state in zip(claimed, ways, strict=True):
        assert Delivery.objects.get(id=one.id).state == state
    assert Attempt.objects.count() == 5


def test_settling_nothing_moves_nothing(db):
    assert settle([]) == 0


def test_a_settlement_is_all_or_nothing(sink, make_alert):
    make_alert(id="a")
    make_alert(id="b")
    good, bad = claim_all()
    with pytest.raises(IntegrityError), transaction.atomic():
        settle([settled(good), settled(bad, None)])
    assert states() == ["sending", "sending"]
    assert Attempt.objects.count() == 0


@pytest.mark.parametrize("text", ["", 'it\'s "quoted" %s $1 {} \\', "日本 🟣", "line\nbreak", "x" * 100_000])
def test_evidence_is_kept_whatever_it_says(delivery, text):
    (claimed,) = claim_all()
    settle([settled(claimed, reason=text, excerpt=text)])
    attempt = Attempt.objects.get()
    assert (attempt.reason, attempt.excerpt) == (text, text)
    assert Delivery.objects.get().reason == text


def test_a_lease_is_held_while_sending_and_only_then(delivery):
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.update(state="sending", lease=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.update(state="pending", lease=uuid.uuid4())


@pytest.mark.guarantee("R8")
def test_one_event_is_owed_once_to_one_sink(delivery):
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.create(
            id=uuid.uuid4(), event_id=delivery.event_id, destination_id=delivery.destination_id
        )


# --- What nobody comes back for -------------------------------------------------------------------


@pytest.mark.guarantee("R7")
def test_what_lost_its_worker_on_the_last_try_has_failed(delivery):
    Delivery.objects.update(tries=MAX_TRIES - 1)
    claim_all()
    assert give_up_lost(MAX_TRIES, delivery.destination_id) == 0  # its worker may still settle it
    move_time(LEASE + 1)
    assert give_up_lost(MAX_TRIES, delivery.destination_id) == 1
    lost = Delivery.objects.get()
    assert (lost.state, lost.lease) == ("failed", None)
    assert "worker was lost" in lost.reason
    assert lost.settled_at is not None


def test_what_lost_its_worker_before_the_last_try_is_not_given_up(delivery):
    Delivery.objects.update(tries=MAX_TRIES - 2)
    claim_all()
    move_time(LEASE + 1)
    assert give_up_lost(MAX_TRIES, delivery.destination_id) == 0
    assert len(claim_all()) == 1


def test_what_has_used_its_tries_when_the_schedule_was_shortened_has_failed(delivery):
    (claimed,) = claim_all()
    settle([settled(claimed, "pending", pause=30.0, reason="it answered 500")])
    Delivery.objects.update(tries=4)
    assert give_up_lost(3, delivery.destination_id) == 0  # not before it would have been due
    move_time(31)
    assert find_due_lanes(3) == []
    assert give_up_lost(3, delivery.destination_id) == 1
    assert Delivery.objects.values_list("state", "reason").get() == ("failed", "it answered 500")


def test_what_a_lost_worker_held_for_a_deleted_sink_is_suppressed(sink, delivery):
    (late,) = claim_all()
    configure.delete(sink)
    tidy_up()
    assert states() == ["sending"]  # its worker may still settle it
    move_time(LEASE + 1)
    tidy_up()
    gone = Delivery.objects.get()
    assert (gone.state, gone.lease, gone.reason) == ("suppressed", None, "the event sink was deleted")
    assert settle([settled(late)]) == 0


# --- What people ask for --------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "delivered"])
def test_a_replay_gives_a_fresh_set_of_tries(delivery, state):
    Delivery.objects.update(tries=MAX_TRIES - 1)
    (claimed,) = claim_all()
    settle([settled(claimed, state, reason="refused")])
    assert Delivery.objects.replay() == 1
    again = Delivery.objects.get()
    assert (again.id, again.state, again.tries, again.reason) == (delivery.id, "pending", 0, "")
    assert again.settled_at is None
    assert [one.tries for one in claim_all()] == [1]


@pytest.mark.guarantee("R18")
def test_a_double_replay_is_one(delivery):
    (claimed,) = claim_all()
    settle([settled(claimed, "failed")])
    assert [Delivery.objects.replay(), Delivery.objects.replay()] == [1, 0]
    claim_all()
    assert Delivery.objects.replay() == 0  # what is being sent is not taken from its worker
    assert states() == ["sending"]


@pytest.mark.parametrize("state", ["pending", "suppressed"])
def test_only_what_has_ended_is_replayed(delivery, state):
    if state == "suppressed":
        Delivery.objects.suppress("not wanted")
    assert Delivery.objects.replay() == 0
    assert states() == [state]


def test_a_worker_from_before_a_replay_settles_nothing(delivery):
    (late,) = claim_all()
    move_time(LEASE + 1)
    (now,) = claim_all()
    settle([settled(now, "failed")])
    Delivery.objects.replay()
    assert settle([settled(late)]) == 0
    assert states() == ["pending"]


def test_only_what_waits_is_suppressed(sink, make_alert):
    for number in range(4):
        make_alert(id=f"a-{number}")
    delivered, failed, _ = claim_all(quota=3)
    settle([settled(delivered), settled(failed, "failed")])
    assert Delivery.objects.suppress("not wanted") == 1
    assert states() == ["delivered", "failed", "sending", "suppressed"]
    assert Delivery.objects.get(state="suppressed").reason == "not wanted"
    assert Delivery.objects.get(state="suppressed").settled_at is not None


def test_what_waits_for_a_later_try_is_brought_forward(delivery):
    move_time(-3600)
    assert Delivery.objects.bring_forward() == 1
    assert len(claim_all()) == 1
    assert Delivery.objects.bring_forward() == 0


def test_a_delivery_tells_when_it_came_to_be(delivery):
    assert abs(delivery.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_deliveries_of_another_tenant_are_not_among_ones_own(delivery, acme, globex):
    assert Delivery.objects.of_tenant(acme.id).count() == 1
    assert Delivery.objects.of_tenant(globex.id).count() == 0


# --- The cost of looking --------------------------------------------------------------------------


def test_looking_for_lanes_costs_by_the_lane_and_not_by_the_backlog(sink, make_alert):
    make_alert()
    event = Delivery.objects.get().event_id
    cost = []
    for numbers in (range(1, 10), range(10, 3000)):
        Delivery.objects.bulk_create(
            Delivery(id=uuid.uuid4(), event_id=event + number, destination_id=sink.id) for number in numbers
        )
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE eventsinks_delivery")
        cost.append(steps(lambda: find_due_lanes(MAX_TRIES)))
    assert cost[1] <= cost[0] + 20, cost


def steps(look):
    """Return what a statement cost: pages of its plan on PostgreSQL, hundreds of steps on SQLite."""
    if connection.vendor == "sqlite":
        ticks = []
        connection.connection.set_progress_handler(lambda: ticks.append(1) and None, 100)
        look()
        connection.connection.set_progress_handler(None, 0)
        return len(ticks)
    with CaptureQueriesContext(connection) as captured:
        look()
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + captured[0]["sql"])
        plan = cursor.fetchone()[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
