"""The door over a database that can't be written: nothing is lost, taken twice, or left without an answer."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from eventsinks.door.committer import Committer
from eventsinks.models import Event
from eventsinks.models.database import unavailable
from eventsinks.models.database.unavailable import FULL, READ_ONLY

ALERT = {"name": "Root login", "severity": "High"}


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def make_read_only():
    """Let this thread's connection write nothing, as on a primary that was demoted."""
    postgresql = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    run(postgresql if connection.vendor == "postgresql" else "PRAGMA query_only = 1")


def make_full():
    """Let this connection's tables not grow. Only SQLite knows such a limit."""
    run("VACUUM")  # no page is free
    run(f"PRAGMA max_page_count = {run('PRAGMA page_count')[0]}")


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch):
    monkeypatch.setattr(unavailable, "_unwritable", ("", 0.0))
    monkeypatch.setattr(unavailable, "_told", {})


@pytest.fixture
def before_commits(monkeypatch):
    """Return a list of functions that run on the committer's connection before each group."""
    prepare = []
    commit = Committer._commit

    def prepared(this, group):
        for one in prepare:
            one()
        commit(this, group)

    monkeypatch.setattr(Committer, "_commit", prepared)
    return prepare


BREAKS = [make_read_only] if connection.vendor == "postgresql" else [make_read_only, make_full]


@pytest.mark.parametrize("break_it", BREAKS)
def test_what_the_door_can_t_write_django_takes_once(road, acme_key, before_commits, taken, break_it):
    road.learn(acme_key)
    before_commits.append(break_it)
    del taken[:]
    document = {**ALERT, "description": "x" * 400_000}
    answer = road.post(acme_key, document)
    assert (answer.status, len(taken)) == (200, 1)
    assert Event.objects.filter(type="detection_alert").count() == 2


RAISE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON eventsinks_event EXECUTE FUNCTION refuse()"""


@pytest.mark.parametrize(("code", "reason"), [("25006", READ_ONLY), ("53100", FULL)])
def test_where_nobody_can_write_a_post_gets_503_and_then_works_again(road, acme_key, code, reason):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no error that a trigger could raise for all connections")
    road.learn(acme_key)
    run(RAISE.format(code=code))
    try:
        answer = road.post(acme_key, ALERT)
    finally:
        run("DROP FUNCTION refuse CASCADE")
    assert (answer.status, dict(answer.headers)[b"retry-after"]) == (503, b"10")
    assert reason in json.loads(answer.body)["error"]["message"]
    assert Event.objects.filter(type="detection_alert").count() == 1
    assert road.post(acme_key, ALERT).status == 200
