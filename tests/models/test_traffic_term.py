"""Searching flows: what is found is what reading every flow would find, whatever the terms are."""

from __future__ import annotations

import importlib

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsinks.models import NetworkTraffic, TrafficTerm
from eventsinks.models.traffic import network_traffic, traffic_term
from eventsinks.models.traffic.network_traffic import find_with_text
from eventsinks.models.traffic.traffic_term import list_terms, make_number
from tests.api.netbird.examples import END, take_traffic

pytestmark = pytest.mark.django_db
kept = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no terms: it reads every flow")

WORDS = st.text("ab1.:]é%_\\", max_size=6)
ADDRESSES = st.sampled_from(
    ["10.0.0.1:443", "10.0.0.11:4430", "[fd00::1]:443", "fd00::1", "db.lan:443", "10.0.0.1"]
)


@pytest.fixture
def by_terms(monkeypatch):
    """Look by terms whatever the statistics say: those of a new table say little."""
    monkeypatch.setattr(network_traffic, "COMMON", 2)


def flow(id, email="", name="", source="", destination=""):
    return {
        "id": str(id),
        "user": {"id": "u", "email": email},
        "source": {**END, "name": name, "address": source},
        "destination": {**END, "name": "", "address": destination},
    }


def found(tenant, text):
    rows = NetworkTraffic.objects.filter(find_with_text(tenant, text), tenant=tenant)
    return sorted(rows.values_list("event__key", flat=True))


@pytest.mark.parametrize(("many", "told"), [(4, [1, 2, 3]), (3, [1, 2, 3]), (2, None)])
def test_terms_are_looked_up_by_their_numbers_all_of_them_or_none(acme, globex, monkeypatch, many, told):
    monkeypatch.setattr(network_traffic, "MANY_TERMS", many)
    owners = [acme, acme, acme, globex]
    rows = [TrafficTerm(number=n, tenant=owner, text=f"db-{n}.lan") for n, owner in enumerate(owners, 1)]
    TrafficTerm.objects.bulk_create([*rows, TrafficTerm(number=5, tenant=acme, text="laptop")])
    numbers = network_traffic.find_numbers(acme, text__contains=".lan")
    assert (numbers and sorted(numbers)) == told


@settings(
    deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), many=st.sampled_from([0, 1, 300]), common=st.sampled_from([-1, 2]))
def test_a_search_finds_the_flows_of_which_a_text_has_it_and_no_others(acme, monkeypatch, data, many, common):
    monkeypatch.setattr(network_traffic, "MANY_TERMS", many)
    monkeypatch.setattr(network_traffic, "COMMON", common)
    flows = data.draw(st.lists(st.tuples(WORDS, WORDS, ADDRESSES, ADDRESSES), min_size=1, max_size=5))
    with transaction.atomic():
        take_traffic(acme, *(flow(number, *texts) for number, texts in enumerate(flows)))
        texts = [text for texts in flows for text in texts]
        text = data.draw(st.sampled_from(texts))
        first = data.draw(st.integers(0, len(text)))
        part = text[first : data.draw(st.integers(first, len(text)))] or data.draw(WORDS) or "a"
        holding = [str(number) for number, texts in enumerate(flows) if any(part in text for text in texts)]
        assert found(acme, part) == holding
        transaction.set_rollback(True)
    traffic_term._known.clear()


@pytest.mark.parametrize(
    ("search", "terms"),
    [
        ("a@b.example\nlaptop\n10.0.0.1:443", {"a@b.example", "laptop", "10.0.0.1", ":443"}),
        ("[fd00::1]:443\n", {"[fd00::1]", ":443"}),
        ("fd00::1", {"fd00::1"}),
        ("db.lan:443", {"db.lan:443"}),
        ("10.0.0.1:443x\n10.0.0.1:123456", {"10.0.0.1:443x", "10.0.0.1:123456"}),
        ("\n\n", set()),
    ],
)
def test_an_address_and_its_port_are_two_terms(search, terms):
    assert set(list_terms(search)) == terms


def test_the_same_text_of_two_tenants_is_two_terms(acme, globex, by_terms):
    assert make_number(acme.id, "laptop") != make_number(globex.id, "laptop")
    take_traffic(acme, flow("a", name="laptop"))
    take_traffic(globex, flow("g", name="laptop"))
    assert (found(acme, "lap"), found(globex, "lap")) == (["a"], ["g"])


@kept
def test_each_term_is_written_once(acme, by_terms):
    take_traffic(acme, flow(1, name="laptop"), flow(2, name="laptop"))
    traffic_term._known.clear()  # another process
    take_traffic(acme, flow(3, name="laptop"))
    assert TrafficTerm.objects.filter(text="laptop").count() == 1
    assert found(acme, "laptop") == ["1", "2", "3"]


@kept
def test_what_was_rolled_back_is_written_again(acme, transactional_db, by_terms):
    with transaction.atomic():
        take_traffic(acme, flow(1, name="laptop"))
        transaction.set_rollback(True)
    take_traffic(acme, flow(2, name="laptop"))
    assert found(acme, "laptop") == ["2"]


@kept
def test_what_is_committed_is_not_written_again(acme, transactional_db, django_assert_num_queries):
    take_traffic(acme, flow(1, name="laptop"))
    with django_assert_num_queries(0):
        traffic_term.write_terms(acme.id, ["laptop"])


@kept
def test_flows_of_before_get_their_terms_by_the_migration(acme, globex, transactional_db, by_terms):
    take_traffic(acme, flow(1, "é@b", "laptop", "10.0.0.1:443"), flow(2, "", "", ""), flow(3, name="laptop"))
    take_traffic(globex, flow(1, name="laptop", destination="[fd00::1]:443"))
    before = rows()
    NetworkTraffic.objects.update(terms=None)
    TrafficTerm.objects.all().delete()
    assert found(acme, "laptop") == []
    migration = importlib.import_module("eventsinks.migrations.0010_index_traffic_terms")
    for _ in range(2):
        with connection.schema_editor(atomic=False) as editor:
            migration.fill_and_index(None, editor)
        assert rows() == before
    assert found(acme, "laptop") == ["1", "3"]


def rows():
    """Return all terms, and the numbers of every flow."""
    flows = NetworkTraffic.objects.order_by("pk").values_list("terms", flat=True)
    return sorted(TrafficTerm.objects.values_list()), [sorted(terms) for terms in flows]
