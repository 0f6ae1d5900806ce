"""What the database knows is found out once, for all, and is told everywhere alike or nowhere."""

import psycopg
import pytest
from django.db import connection
from django.test import Client

from eventsinks import tasks
from eventsinks.destinations.base import Temporary
from eventsinks.models.stream import find_holder, find_unsent
from eventsinks.streaming import lag
from eventsinks.streaming.streamer import stream
from tests.helpers.system import until

postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")


def scrape():
    """Return the lines of /metrics that have a value."""
    page = Client().get("/metrics").content.decode()
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))


@pytest.mark.guarantee("O1")
def test_before_anybody_has_looked_nothing_is_told_of_the_database(shared_by_all, db):
    assert not [name for name in scrape() if name.startswith(("eventsinks_open", "eventsinks_unaccounted"))]


@pytest.mark.guarantee("O1")
def test_what_the_account_found_is_told_by_whoever_is_asked(shared_by_all, make_webhook, make_alert):
    make_webhook()
    make_alert()
    tasks.account()
    told = scrape()
    assert told["eventsinks_open_deliveries"] == "1.0"
    assert told['eventsinks_waiting_deliveries{obstacle="none"}'] == "1.0"
    assert float(told["eventsinks_facts_timestamp_seconds"]) > 1_700_000_000


def test_what_was_found_out_is_forgotten_when_nobody_looks_any_more(shared_by_all, db):
    tasks.account()
    (key,) = shared_by_all.keys("eventsinks:facts:*")
    assert 60_000 < shared_by_all.pttl(key) <= 180_000
    shared_by_all.delete(key)
    assert "eventsinks_open_deliveries" not in scrape()


def test_without_the_broker_the_page_says_what_the_process_counts_and_no_more(db):
    tasks.account()
    told = scrape()
    assert "eventsinks_wrong_keys_total" in told
    assert "eventsinks_open_deliveries" not in told


@pytest.mark.guarantee("O1")
@pytest.mark.django_db(transaction=True)
def test_how_far_streams_are_behind_is_told_by_type(shared_by_all, far, integrate, log, outlet, silent_audit):
    integration = integrate()
    far.says = staticmethod(lambda batch: {str(n): Temporary("not now") for n in range(5)})
    log(*range(5))
    stream(integration.id, outlet)
    tasks.account()
    told = scrape()
    assert told['eventsinks_stream_backlog_events{type="far"}'] == "5.0"
    assert float(told['eventsinks_stream_behind_seconds{type="far"}']) > 0


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_has_sent_all_is_not_behind(far, integrate, log, outlet, silent_audit):
    integration = integrate()
    log(*range(5))
    assert [one.type for one in find_unsent()] == ["far"]
    stream(integration.id, outlet)
    assert find_unsent() == []


@pytest.mark.django_db(transaction=True)
def test_events_that_an_integration_does_not_hear_do_not_put_it_behind(far, integrate, log, silent_audit):
    integrate()
    log(1, type="detection_alert")
    assert find_unsent() == []


@postgresql
@pytest.mark.django_db(transaction=True)
def test_the_transaction_that_holds_all_streams_back_is_named_and_no_other(caplog, monkeypatch):
    monkeypatch.setattr(lag, "LONG", 0.0)
    options = connection.get_connection_params()
    own = {key: options[key] for key in ("host", "port", "dbname", "user", "password") if options.get(key)}
    with psycopg.connect(**own, application_name="somebody") as foreign:
        foreign.execute("SELECT pg_current_xact_id()")
        assert until(lambda: "somebody" in find_holder_name(), 60)  # others write in this cluster, for a moment
        assert lag.measure_hold() > 0
        foreign.rollback()
    assert "somebody" not in find_holder_name()
    assert "streams wait for process" in caplog.text


def find_holder_name():
    holder = find_holder()
    return holder.name if holder else ""
