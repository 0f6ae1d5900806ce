"""Counts say what the rows say, whoever moves a delivery."""

import uuid
from collections import Counter
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils import timezone

from eventsinks.lib.net.wire import Response
from eventsinks.models import Attempt, Count, CountDelta, Delivery, Event, counting
from eventsinks.models.counting.roll_up import roll_up_some
from eventsinks.models.delivery import Settlement, claim, find_due_lanes, give_up_lost, settle
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers.counts import count_rows, read_counts
from tests.helpers.worlds import World

pytestmark = pytest.mark.django_db


def claim_all():
    return claim([(lane, 1000) for lane in find_due_lanes(10)], 60.0)


def settled(claimed, state, outcome="temporary"):
    return [Settlement(one, uuid.uuid4(), state, outcome, datetime.now(UTC), 1000.0) for one in claimed]


def test_what_is_accepted_delivered_and_failed_is_counted_as_the_rows_are(make_webhook, make_alert):
    for _ in range(2):
        make_webhook()
    for _ in range(3):
        make_alert()
    assert read_counts() == count_rows()
    first, *others = claim_all()
    assert settle(settled([first], "delivered", "delivered") + settled(others[:2], "failed")) == 3
    assert settle(settled(others[2:], "pending")) == 3
    assert read_counts() == count_rows()


def test_what_did_not_move_is_not_counted(make_webhook, make_alert):
    make_webhook()
    make_alert()
    make_alert()
    claimed = claim_all()
    lost = [one._replace(lease=uuid.uuid4()) for one in claimed[:1]]
    settlements = settled(lost, "delivered") + settled(claimed[1:], "delivered")
    assert settle(settlements) == 1
    assert read_counts() == count_rows()
    assert settle(settlements) == 0
    assert read_counts() == count_rows()


@pytest.mark.parametrize("move", ["replay", "skip", "suppress", "stop", "arrive"])
@pytest.mark.parametrize("state", ["pending", "failed", "delivered"])
def test_every_other_move_counts_itself(make_webhook, make_alert, move, state):
    make_webhook()
    make_alert()
    if state != "pending":
        settle(settled(claim_all(), state))
    if move in ("skip", "suppress", "stop"):
        getattr(Delivery.objects.all(), move)("a person said so")
    else:
        getattr(Delivery.objects.all(), move)()
    assert read_counts() == count_rows()


def test_what_a_shell_changes_by_hand_is_counted(make_webhook, make_alert):
    make_webhook()
    make_alert()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE eventsinks_delivery SET state = 'failed', reason = 'by hand'")
    assert read_counts() == count_rows()


def test_what_is_stopped_while_a_worker_sends_it_is_counted_once(make_webhook, make_alert):
    make_webhook()
    make_alert()
    claimed = claim_all()
    assert Delivery.objects.all().stop("expunged") == 1
    assert read_counts() == count_rows()
    assert settle(settled(claimed, "delivered")) == 0
    assert read_counts() == count_rows()


def test_what_goes_back_to_wait_and_is_sent_again_is_counted_once(make_webhook, make_alert):
    make_webhook()
    make_alert()
    settle(settled(claim_all(), "pending"))
    Delivery.objects.update(due_at=timezone.now() - timezone.timedelta(seconds=5))
    assert settle(settled(claim_all(), "delivered")) == 1
    assert read_counts() == count_rows()


def test_a_lost_last_try_is_counted_as_failed(make_webhook, make_alert):
    sink = make_webhook()
    make_alert()
    claim_all()
    Delivery.objects.update(due_at=timezone.now() - timezone.timedelta(seconds=5))
    assert give_up_lost(1, sink.id) == 1
    assert read_counts() == count_rows()


def test_a_delivery_says_how_long_it_took(make_webhook, make_alert):
    make_webhook()
    make_alert()
    Dispatcher(World(lambda request: Response(200, [], b""))).run()
    roll_up_some()
    kinds = Counter(what.split(":")[0] for what in Count.objects.values_list("what", flat=True))
    assert kinds == {"event": 1, "accepted": 1, "delivered": 1, "first": 1, "done": 1}
    first = Count.objects.get(what__startswith="first:")
    assert (first.destination_id, first.slot) == (0, counting.find_slot(Attempt.objects.get().id))


def test_summing_up_changes_no_sum(make_webhook, make_alert):
    make_webhook()
    for _ in range(3):
        make_alert()
    before = read_counts()
    while roll_up_some():
        pass
    assert (read_counts(), CountDelta.objects.count()) == (before, 0)
    assert Event.objects.count() == sum(Count.objects.filter(what="event").values_list("n", flat=True))
