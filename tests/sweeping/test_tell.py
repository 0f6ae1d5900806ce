"""Notices of trouble: told once, together, to the others of the tenant and to the operator."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.models import Destination, Event
from eventsinks.models.options import Options
from eventsinks.sending.hold import park
from eventsinks.sweeping import tell
from eventsinks.sweeping.tell import TELL_AFTER, tell_trouble

pytestmark = pytest.mark.django_db


@pytest.fixture
def hearing(make_webhook):
    return make_webhook(name="pager", options=Options(event_types=["notice"]))


def set_trouble(*sinks, trouble=1, ago=TELL_AFTER + 1, **more):
    at = Now() - timedelta(seconds=ago)
    ids = [sink.id for sink in sinks]
    values = {"trouble": trouble, "trouble_at": at, "trouble_since": at, "trouble_reason": "503", **more}
    Destination.objects.filter(id__in=ids).update(**values)


def notices(tenant=None):
    """Return the notices, oldest first: each with what it says and the names of the sinks that hear it."""
    found = Event.objects.filter(type="notice").order_by("id")
    if tenant is not None:
        found = found.filter(tenant=tenant)
    return [
        (
            one.document["notice"],
            sorted(row["name"] for row in one.document["destinations"]),
            sorted(one.deliveries.values_list("destination__name", flat=True)),
        )
        for one in found
    ]


def test_the_tenant_s_other_sinks_hear_of_it_once_and_the_failing_one_does_not(make_webhook, hearing):
    failing = make_webhook(name="soc", options=Options(event_types=["detection_alert", "notice"]))
    make_webhook(name="deaf")
    set_trouble(failing)
    assert (tell_trouble(), tell_trouble()) == (1, 0)
    assert notices() == [("event_sink.failing", ["soc"], ["pager"])]
    told = Event.objects.get(type="notice").document
    assert (told["name"], told["severity"]) == ("Event sink soc is failing", "Medium")
    assert "503" in told["description"]


def test_fifty_that_fail_in_one_minute_are_one_notice_that_names_them(make_webhook, hearing):
    sinks = [make_webhook(name=f"sink {number}") for number in range(50)]
    for number, sink in enumerate(sinks):
        set_trouble(sink, ago=TELL_AFTER - 1 - number)
    assert tell_trouble() == 0  # the first is not old enough
    Destination.objects.update(trouble_at=F("trouble_at") - timedelta(seconds=2))
    assert (tell_trouble(), tell_trouble()) == (1, 0)
    ((word, names, heard),) = notices()
    assert (word, len(names), heard) == ("event_sink.failing", 50, ["pager"])
    assert "and 30 more" in Event.objects.get(type="notice").document["name"]


@pytest.mark.guarantee("R19")
def test_each_step_of_an_episode_is_told_once(make_webhook, hearing):
    sink = make_webhook(name="soc")
    for trouble in (1, 2, 1, 2, 0, 0):  # open, half-open, open again: the same episode
        set_trouble(sink, trouble=trouble)
        tell_trouble()
    assert [word for word, *_ in notices()] == ["event_sink.failing", "event_sink.open", "event_sink.recovered"]


def test_what_is_over_before_it_was_told_is_not_told(make_webhook, hearing):
    sink = make_webhook()
    set_trouble(sink, ago=10)
    tell_trouble()
    set_trouble(sink, trouble=0)
    tell_trouble()
    assert notices() == []


def test_a_recovery_that_does_not_last_is_not_told(make_webhook, hearing):
    sink = make_webhook()
    set_trouble(sink)
    tell_trouble()
    set_trouble(sink, trouble=0, ago=10)
    tell_trouble()
    set_trouble(sink)
    tell_trouble()
    assert [word for word, *_ in notices()] == ["event_sink.failing"]


def test_a_disabled_sink_is_told_and_its_repair_too(make_webhook, hearing):
    sink = make_webhook(name="soc")
    park(sink.id, sink.version, "the far end answered 410")
    Destination.objects.update(trouble_at=F("trouble_at") - timedelta(seconds=TELL_AFTER + 1))
    tell_trouble()
    configure.resume(Destination.objects.get(id=sink.id))
    Destination.objects.update(trouble_at=F("trouble_at") - timedelta(seconds=TELL_AFTER + 1))
    tell_trouble()
    assert [word for word, *_ in notices()] == ["event_sink.disabled", "event_sink.recovered"]
    assert "410" in Event.objects.filter(type="notice").earliest("id").document["description"]


def test_integrations_are_told_apart(acme, hearing):
    stream = configure.create(acme, "generic_http", {"url": "https://example.com/in"}, name="lake")
    set_trouble(stream)
    tell_trouble()
    assert notices() == [("integration.failing", ["lake"], ["pager"])]


def test_a_tenant_hears_nothing_of_another(acme, globex, make_webhook, hearing):
    make_webhook(tenant=globex, name="theirs", options=Options(event_types=["notice"]))
    set_trouble(make_webhook(tenant=globex, name="their soc"))
    tell_trouble()
    assert notices(acme) == []
    assert notices(globex) == [("event_sink.failing", ["their soc"], ["theirs"])]


def test_the_operator_hears_of_all_tenants_in_one_notice(acme, globex, make_webhook, settings, hearing):
    settings.EVENTSINKS_OPERATOR_TENANT = str(globex.id)
    make_webhook(tenant=globex, name="on call", options=Options(event_types=["notice"]))
    set_trouble(make_webhook(name="soc"), make_webhook(name="other"))
    assert (tell_trouble(), tell_trouble()) == (2, 0)
    assert notices(globex) == [("event_sink.failing", ["other", "soc"], ["on call"])]
    assert "soc (Acme)" in Event.objects.get(type="notice", tenant=globex).document["name"]


def test_the_operator_s_own_are_told_once(globex, make_webhook, settings):
    settings.EVENTSINKS_OPERATOR_TENANT = str(globex.id)
    make_webhook(tenant=globex, name="on call", options=Options(event_types=["notice"]))
    set_trouble(make_webhook(tenant=globex, name="soc"))
    tell_trouble()
    assert notices() == [("event_sink.failing", ["soc"], ["on call"])]


def test_nobody_listens_and_the_event_is_there_all_the_same(make_webhook):
    set_trouble(make_webhook(name="soc"))
    tell_trouble()
    assert notices() == [("event_sink.failing", ["soc"], [])]


@pytest.mark.django_db(transaction=True)
def test_whoever_dies_in_the_middle_told_nothing_and_the_next_tells_it(make_webhook, hearing, monkeypatch):
    set_trouble(make_webhook(name="soc"))

    def die(*_, **__):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(tell, "notify_sinks", die)
        with pytest.raises(SystemExit):
            tell_trouble()
    assert tell_trouble() == 1
    assert len(notices()) == 1


@pytest.mark.guarantee("R19")
@pytest.mark.django_db(transaction=True)
def test_four_workers_at_once_tell_it_once(make_webhook, hearing):
    set_trouble(*[make_webhook(name=f"sink {number}") for number in range(5)])
    gate = threading.Barrier(4)

    def work():
        try:
            gate.wait()
            tell_trouble()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    named = [name for _, names, _ in notices() for name in names]
    assert sorted(named) == [f"sink {number}" for number in range(5)]
