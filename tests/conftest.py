"""The cast: Acme, whose events travel, and Globex, who must see nothing of them."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import time

import pytest
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

from eventsinks.actions import configure
from eventsinks.actions.tenants import change_tenant, create_tenant, issue_key
from eventsinks.api import wrong_keys
from eventsinks.event_types import event_type
from eventsinks.intake import backlog, nudge
from eventsinks.intake.accept import accept
from eventsinks.lib.net.addresses import AddressGuard
from eventsinks.lib.net.http import Outlet
from eventsinks.limits import broker_state, rates, refusals, sending_lag
from eventsinks.models import Event, counting
from eventsinks.models.search import progress
from eventsinks.models.traffic import traffic_term
from eventsinks.sending.dispatcher import Dispatcher
from tests.helpers import broker

numbers = itertools.count(1)
# Django writes them after every migration, and would again after every test that commits: most of what that costs.
KEPT = {"django_content_type", "auth_permission"}


def empty_tables(case):
    """Take away what a test has committed; the kinds of rows, and the rights to them, stay as they are."""
    wait_for_others()
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), sorted(tables)))


def wait_for_others():
    """Wait until nobody else is in the middle of something: a browser's last request may outlive its test.

    Its locks and those of TRUNCATE, in another order, would be a deadlock.
    """
    if connection.vendor != "postgresql":
        return
    for _ in range(100):
        with connection.cursor() as cursor:
            cursor.execute(
                """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"""
            )
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.05)


TransactionTestCase._fixture_teardown = empty_tables


def pytest_collection_finish():
    """Let the garbage collector pass over what lives to the end: modules, and the tests themselves."""
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def unrecorded():
    """Take away the audit events of what a fixture arranges: a test counts the events of what it does itself."""
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
    yield
    arranged = Event.objects.filter(type="audit", id__gt=newest)
    counting.forget(events=arranged.values_list("tenant_id", "id"))
    arranged.delete()


@pytest.fixture(autouse=True)
def quiet_broker(monkeypatch):
    """Let no test talk to a broker unless it means to: nudges may be lost without harm."""
    monkeypatch.setattr(nudge, "_quiet_until", float("inf"))
    monkeypatch.setattr(broker_state, "_quiet_until", float("inf"))


@pytest.fixture(autouse=True)
def nothing_used():
    """Forget what tests before this one used of their limits."""
    for kept in (rates, refusals, backlog, wrong_keys, sending_lag):
        kept.forget()


@pytest.fixture(autouse=True)
def no_known_terms(monkeypatch):
    """Forget what was written into a database that is empty again."""
    monkeypatch.setattr(traffic_term, "_known", {})


@pytest.fixture(autouse=True)
def search_is_not_held_back(request, monkeypatch):
    """Let the search take what is written as settled: on PostgreSQL it waits for transactions of other tests."""

    def settle_at_once(row):
        row.settled = progress.find_last_id()

    if "real_end_of_log" not in request.fixturenames:
        monkeypatch.setattr(progress, "look_at_end", settle_at_once)


@pytest.fixture
def real_end_of_log():
    """Let the search look for the end of the log as the product does."""


@pytest.fixture
def acme(db):
    with unrecorded():
        return create_tenant("Acme")


@pytest.fixture
def globex(db):
    with unrecorded():
        return create_tenant("Globex")


@pytest.fixture
def acme_key(acme):
    with unrecorded():
        return issue_key(acme)[1]


@pytest.fixture
def globex_key(globex):
    with unrecorded():
        return issue_key(globex)[1]


@pytest.fixture
def make_webhook(acme):
    def make(url="https://example.com/hook", tenant=None, **options):
        options.setdefault("name", f"webhook {next(numbers)}")
        config = {"url": url, **options.pop("config", {})}
        with unrecorded():
            return configure.create(tenant or acme, "webhook", config, **options)

    return make


@pytest.fixture
def make_alert(acme):
    """Accept one alert of Acme (or `tenant`); return its acceptance."""

    def make(tenant=None, **fields):
        alert = {"name": "Root login", "severity": "High", **fields}
        return accept(tenant or acme, event_type("detection_alert"), [json.dumps(alert).encode()])

    return make


@pytest.fixture
def dispatcher():
    """Return the engine of one worker, over the real way out."""
    outlet = Outlet(AddressGuard(["127.0.0.0/8"]), timeout=3)
    yield Dispatcher(outlet)
    outlet.close()


@pytest.fixture
def shared_by_all(tmp_path, settings, monkeypatch):
    """Let what processes share be in a real Redis; return a client of it. Without this fixture there is none."""
    with broker.shared_redis(tmp_path, settings, monkeypatch) as client:
        yield client


@pytest.fixture
def limit():
    """Give a tenant limits of its own."""

    def limited(tenant, **limits):
        with unrecorded():
            tenant.own_limits = change_tenant(tenant, limits=limits).own_limits
        return tenant

    return limited
