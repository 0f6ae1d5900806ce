"""A dump in another cluster: its transaction ids lie far ahead, and still nothing that was owed is skipped."""

import io
import logging
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone

from eventsinks import tasks
from eventsinks.actions.replaying.replay_stream import replay_stream
from eventsinks.destinations.base import Temporary
from eventsinks.models import Batch, Event, Position
from eventsinks.models.stream import find_due_positions, find_end_of_log, find_last_settled, log_is_ahead
from eventsinks.streaming.streamer import stream
from tests.helpers.streams import (  # noqa: F401 - fixtures
    all_that_came,
    far,
    integrate,
    log,
    make_due,
    outlet,
    silent_audit,
    stored,
)
from tests.helpers.visible import visible

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("silent_audit")]
AHEAD = 10**9  # of this cluster's transactions is the other's
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no transaction ids")


def restore():
    """Make everything as if it came in a dump from a cluster that had seen many more transactions."""
    Event.objects.update(xid=F("xid") + AHEAD)
    Position.objects.update(xid=F("xid") + AHEAD, lease=None)
    Position.objects.exclude(replay_xid=None).update(
        replay_xid=F("replay_xid") + AHEAD, until_xid=F("until_xid") + AHEAD
    )
    Batch.objects.update(last_xid=F("last_xid") + AHEAD)


def renumber_log():
    """Run the command; return what it says."""
    out = io.StringIO()
    call_command("renumber_streams", stdout=out)
    return out.getvalue()


@pytest.fixture
def log_unseen(log, monkeypatch):  # noqa: F811
    """Write events as `log`, without waiting until they are the last ones that may be read."""
    monkeypatch.setattr("tests.helpers.streams.visible", lambda tenant: None)
    return log


def run(integration, outlet):  # noqa: F811
    """Stream what may be read; where the log is ahead that is not waited for, since it would never be."""
    if not log_is_ahead():
        visible(integration.tenant)
    make_due(integration)
    stream(integration.id, outlet)


def cautions():
    return [found.id for found in run_checks(databases=["default"]) if found.id == "eventsinks.W007"]


@pytest.mark.guarantee("O7")
@on_postgresql
def test_a_restored_log_stands_still_and_goes_on_after_the_command(far, integrate, log_unseen, outlet):  # noqa: F811
    integration = integrate()
    log_unseen(1, 2)
    run(integration, outlet)
    assert all_that_came(far) == ["1", "2"]
    log_unseen(3, 4)
    restore()
    log_unseen(5)
    run(integration, outlet)
    assert all_that_came(far) == ["1", "2"]  # the old ones are not to be read, the new one lies behind
    assert log_is_ahead()
    assert renumber_log().startswith("5 events")
    assert not log_is_ahead()
    assert find_due_positions() == [integration.id]
    run(integration, outlet)
    assert all_that_came(far) == ["1", "2", "3", "4", "5"]
    log_unseen(6, 7)
    run(integration, outlet)
    assert all_that_came(far) == ["1", "2", "3", "4", "5", "6", "7"]


@on_postgresql
def test_an_event_with_a_lower_id_from_a_later_transaction_is_not_skipped(far, integrate, log_unseen, outlet):  # noqa: F811
    integration = integrate()
    late, *_ = log_unseen("late", "a", "b")
    Event.objects.filter(id=late).update(xid=F("xid") + 1)  # commits after the others
    restore()
    others = Event.objects.exclude(id=late).latest("id")
    Position.objects.update(xid=others.xid, event_id=others.id)  # that is where it stands: the others were sent
    renumber_log()
    run(integration, outlet)
    assert all_that_came(far) == ["late", "a", "b"]


@on_postgresql
def test_what_was_written_in_this_cluster_is_sent_though_a_position_has_moved_past_it(
    far,  # noqa: F811
    integrate,  # noqa: F811
    log_unseen,
    outlet,  # noqa: F811
):
    integration = integrate()
    log_unseen("far ahead")
    restore()
    log_unseen("skipped", "seen")
    seen = Event.objects.latest("id")
    Position.objects.update(xid=seen.xid, event_id=seen.id)
    renumber_log()
    run(integration, outlet)
    assert all_that_came(far) == ["far ahead", "skipped", "seen"]


@on_postgresql
def test_an_integration_that_began_at_the_end_of_the_log_gets_what_came_since_and_no_history(
    far,  # noqa: F811
    integrate,  # noqa: F811
    log_unseen,
    outlet,  # noqa: F811
):
    (old,) = log_unseen("history")
    Event.objects.filter(id=old).update(received_at=timezone.now() - timedelta(days=1))
    integration = integrate(start=find_end_of_log())
    restore()
    log_unseen("new")
    renumber_log()
    run(integration, outlet)
    assert all_that_came(far) == ["new"]


@on_postgresql
def test_a_batch_that_was_on_its_way_is_sent_again(far, integrate, log_unseen, outlet):  # noqa: F811
    integration = integrate()
    log_unseen(1, 2)
    far.says = staticmethod(lambda batch: (_ for _ in ()).throw(Temporary("down")))
    run(integration, outlet)
    assert Batch.objects.get().state == "open"
    restore()
    far.got.clear()
    far.says = staticmethod(lambda batch: {})
    renumber_log()
    run(integration, outlet)
    assert all_that_came(far) == ["1", "2"]
    assert not Batch.objects.filter(state="open").exists()
    assert stored(integration).place == find_last_settled(integration.tenant_id)


@on_postgresql
def test_a_replay_goes_on_and_what_is_new_is_sent_too(far, integrate, log_unseen, outlet):  # noqa: F811
    integration = integrate()
    log_unseen(*range(1, 6))
    run(integration, outlet)
    far.got.clear()
    assert replay_stream(integration, timezone.now() - timedelta(hours=1))
    restore()
    log_unseen("new")
    renumber_log()
    run(integration, outlet)
    assert sorted(all_that_came(far)) == ["1", "2", "3", "4", "5", "new"]
    assert stored(integration).replay is None


@on_postgresql
def test_a_restored_position_without_newer_events_is_noticed_too(far, integrate, log_unseen, outlet):  # noqa: F811
    integration = integrate()
    Position.objects.update(xid=F("xid") + AHEAD)
    assert log_is_ahead()
    log_unseen("new")
    renumber_log()
    run(integration, outlet)
    assert all_that_came(far) == ["new"]


@pytest.mark.guarantee("O7")
@on_postgresql
def test_the_checks_and_the_worker_name_the_command(acme, log_unseen, caplog):
    log_unseen("a")
    assert cautions() == []
    restore()
    assert cautions() == ["eventsinks.W007"]
    with caplog.at_level(logging.ERROR):
        tasks.account()
    assert "manage.py renumber_streams" in caplog.text
    renumber_log()
    assert cautions() == []


def test_a_log_of_this_database_is_left_as_it_is(far, integrate, log_unseen):  # noqa: F811
    integrate()
    log_unseen("a")
    before = list(Event.objects.values_list("id", "xid")), list(Position.objects.values())
    assert renumber_log().startswith("Nothing to do")
    assert (list(Event.objects.values_list("id", "xid")), list(Position.objects.values())) == before
    assert connection.vendor == "postgresql" or Event.objects.get(type="audit").xid == 0
