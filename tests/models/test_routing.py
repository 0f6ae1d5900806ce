"""Routing numbers: each change that decides where events go raises the tenant's, and nothing else does."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from eventsinks.models import Destination, Silence
from eventsinks.models.routing import OF_DESTINATIONS, OF_SILENCES, read_versions

pytestmark = pytest.mark.django_db

CHANGES = {
    "type": "slack",
    "event_types": ["audit"],
    "filter": 'severity == "Low"',
    "alert_template": {"info": []},
    "quiet": {"dedup_window_s": 5},
    "ordering": "none",
    "ordering_key": "name",
    "deleted_at": timezone.now(),
}
OF_THE_ENGINE = {
    "held_until": timezone.now(),
    "paced_until": timezone.now(),
    "limited_until": timezone.now(),
    "doubts": 3,
    "state": "parked",
    "state_reason": "gone",
    "drilled_at": timezone.now(),
    "name": "other",
}


def number_of(tenant):
    return read_versions([tenant.id])[tenant.id]


def test_every_deciding_column_is_tried():
    assert set(CHANGES) == set(OF_DESTINATIONS)


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_that_decides_raises_it(acme, globex, make_webhook, column):
    sink = make_webhook()
    before, other = number_of(acme), number_of(globex)
    Destination.objects.filter(id=sink.id).update(**{column: CHANGES[column]})
    assert (number_of(acme) > before, number_of(globex)) == (True, other)


def test_the_same_value_and_the_engine_s_columns_do_not(acme, make_webhook):
    sink = make_webhook()
    before = number_of(acme)
    Destination.objects.filter(id=sink.id).update(**OF_THE_ENGINE)
    Destination.objects.get(id=sink.id).save()
    assert number_of(acme) == before


def test_a_new_and_a_removed_destination_raise_it(acme, make_webhook):
    numbers = [number_of(acme)]
    sink = make_webhook()
    numbers.append(number_of(acme))
    Destination.objects.filter(id=sink.id).delete()
    numbers.append(number_of(acme))
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("column", OF_SILENCES)
def test_a_silence_raises_it_when_it_is_made_changed_and_removed(acme, make_webhook, column):
    sink, now = make_webhook(), timezone.now()
    changes = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=9)}
    changes |= {"destination_id": sink.id, "filter": "true", "author": "Bo", "reason": "other"}
    numbers = [number_of(acme)]
    made = Silence.objects.create(
        tenant=acme, author="Ann", reason="work", starts_at=now, ends_at=now + timedelta(hours=1)
    )
    numbers.append(number_of(acme))
    Silence.objects.filter(id=made.id).update(**{column: changes[column]})
    numbers.append(number_of(acme))
    made.delete()
    numbers.append(number_of(acme))
    assert numbers == sorted(set(numbers))


def test_a_change_that_is_rolled_back_leaves_it(acme, make_webhook):
    before = number_of(acme)
    with transaction.atomic():
        make_webhook()
        assert number_of(acme) > before
        transaction.set_rollback(True)
    assert number_of(acme) == before


def test_an_unknown_tenant_has_the_number_0():
    nobody = uuid.uuid4()
    assert read_versions([nobody]) == {nobody: 0}


@pytest.mark.django_db(transaction=True)
def test_who_migrates_back_can_still_change_a_destination(acme, make_webhook):
    sink = make_webhook()
    try:
        call_command("migrate", "eventsinks", "0030", verbosity=0)
        Destination.objects.filter(id=sink.id).update(filter="true")
    finally:
        call_command("migrate", verbosity=0)
    before = number_of(acme)
    Destination.objects.filter(id=sink.id).update(filter="false")
    assert number_of(acme) > before


@pytest.mark.django_db(transaction=True)
def test_migrate_makes_the_triggers_anew(acme, make_webhook):
    table = "eventsinks_destination"
    on = f" ON {table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for event in ("insert", "update", "delete"):
            cursor.execute(f"DROP TRIGGER destination_{event}_raises_routing{on}")
    before = number_of(acme)
    make_webhook()
    assert number_of(acme) == before
    call_command("migrate", verbosity=0)
    make_webhook()
    assert number_of(acme) > before
