"""Looking at the queue from where the living begin: nothing that is due stays unseen."""

import random
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.models import Delivery, Destination
from eventsinks.models.database import sql
from eventsinks.models.delivery import Lookout, claim, find_due_lanes, settle
from eventsinks.models.delivery import look as looking
from tests.models.test_delivery import MAX_TRIES, settled
from tests.sending.test_dispatcher import owe

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="SQLite has no dead rows to walk through"
)


@pytest.fixture
def lookout(monkeypatch):
    """Return what remembers every lane, and looks fully only when it is told to."""
    monkeypatch.setattr(looking, "BUSY", 1)
    made = Lookout()
    made._full_at = float("inf")
    return made


def keys(lanes):
    return sorted((lane.destination_id, lane.tries) for lane in lanes)


def work(lookout, quota, state, **columns):
    """Look, claim and settle once. Return how many were claimed."""
    claimed = claim([(lane, quota) for lane in lookout.due_lanes(MAX_TRIES)], 60)
    lookout.note(claimed)
    settle([settled(one, state, **columns) for one in claimed])
    return len(claimed)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_deliveries_it_sees_the_lanes_that_are_due(lookout, make_webhook, seed):
    chance = random.Random(seed)
    sinks = [make_webhook() for _ in range(4)]
    every = Delivery.objects.all()
    happenings = [
        lambda: owe(chance.choice(sinks), chance.randint(1, 5)),
        lambda: work(lookout, chance.randint(1, 9), "delivered"),
        lambda: work(lookout, 2, "pending", pause=chance.choice([0.0, 0.0, 3600.0])),
        lambda: work(lookout, 2, "failed"),
        lambda: every.filter(destination=chance.choice(sinks)).replay(),
        lambda: every.filter(destination=chance.choice(sinks)).bring_forward(),
        lambda: every.filter(destination=chance.choice(sinks)).suppress("not wanted"),
        lambda: Destination.objects.filter(id=chance.choice(sinks).id).update(
            state=chance.choice(["active", "paused"])
        ),
        lambda: claim([(lane, 2) for lane in find_due_lanes(MAX_TRIES)], -1.0),  # a worker that was lost at once
    ]
    for _ in range(60):
        chance.choice(happenings)()
        assert keys(lookout.due_lanes(MAX_TRIES)) == keys(find_due_lanes(MAX_TRIES))
    Destination.objects.update(state="active")
    while work(lookout, 100, "delivered"):
        pass
    assert not Delivery.objects.filter(state__in=["pending", "sending"], due_at__lte=Now()).exists()


@postgresql
def test_what_is_older_than_what_was_seen_is_found_by_the_next_full_look(lookout, make_webhook):
    sink = make_webhook()
    owe(sink, 1)
    assert work(lookout, 10, "delivered") == 1
    assert lookout.due_lanes(MAX_TRIES) == []
    (late,) = owe(sink, 1)
    Delivery.objects.filter(id=late).update(due_at=F("due_at") - timedelta(hours=1))  # a clock that was set back
    assert lookout.due_lanes(MAX_TRIES) == []
    lookout._full_at = 0.0
    assert work(lookout, 10, "delivered") == 1
    assert 0 < lookout._full_at < float("inf")  # and there will be another one


@postgresql
def test_what_is_committed_a_moment_late_is_seen_at_once(lookout, make_webhook):
    sink = make_webhook()
    owe(sink, 1)
    assert work(lookout, 10, "delivered") == 1
    assert lookout.due_lanes(MAX_TRIES) == []
    (late,) = owe(sink, 1)
    Delivery.objects.filter(id=late).update(due_at=Now() - timedelta(seconds=0.5))
    assert work(lookout, 10, "delivered") == 1


@postgresql
def test_a_look_does_not_walk_through_what_is_dead(lookout, make_webhook):
    sinks = [make_webhook() for _ in range(3)]
    other = connection.copy()
    with other.cursor() as snapshot:
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM eventsinks_delivery")
        for sink in sinks:
            owe(sink, 3000)
        while work(lookout, 1000, "delivered"):
            pass
        time.sleep(1.1)  # what was due within the last second is walked through
        lookout._full_at = 0.0
        full, known = entries(lambda: lookout.due_lanes(MAX_TRIES)), entries(lambda: lookout.due_lanes(MAX_TRIES))
        snapshot.execute("ROLLBACK")
    other.close()
    assert full >= 9000
    assert known < 1000


@postgresql
def test_on_tables_that_were_never_analysed_settling_looks_up_what_it_settles(lookout, make_webhook):
    owe(make_webhook(), 20_000)
    claimed = claim([(lane, 50) for lane in find_due_lanes(MAX_TRIES)], 60)
    with transaction.atomic():
        before = rows_read()
        assert settle([settled(one) for one in claimed]) == 50
        assert rows_read() - before < 1000


def entries(look):
    """Return how many entries of the index of what is open a look reads, dead ones among them."""
    before = entries_read()
    look()
    return entries_read() - before


def entries_read():
    for statement in ("SELECT pg_stat_force_next_flush()", "SELECT pg_stat_clear_snapshot()"):
        sql.fetch_rows(statement)
    ((count,),) = sql.fetch_rows(
        "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'delivery_open'"
    )
    return count


def rows_read():
    ((count,),) = sql.fetch_rows(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
        " WHERE relname = 'eventsinks_delivery'"
    )
    return count
