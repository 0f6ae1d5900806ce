"""Silences: made with a reason by whoever is signed in, ended, never changed or deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from eventsinks.actions.silence import make_silence
from eventsinks.event_types.filter_preset import make_filter
from eventsinks.models import Delivery, Event, Silence
from tests.admin.conftest import HOSTILE

LIST, ADD = reverse("admin:eventsinks_silence_changelist"), reverse("admin:eventsinks_silence_add")


def add(client, tenant, **fields):
    return client.post(f"{ADD}?tenant={tenant.pk}", {"reason": "maintenance", "ends": "1h", **fields})


def errors_of(response):
    return response.context["adminform"].form.errors


@pytest.fixture
def silenced(acme):
    ends_at = timezone.now() + timedelta(hours=1)
    return make_silence(acme, reason=HOSTILE, author=HOSTILE, ends_at=ends_at, filter="true")


def page_of(found, name="change"):
    return reverse(f"admin:eventsinks_silence_{name}", args=[found.pk])


def test_adding_begins_with_the_tenant(operator, acme):
    assert "Whose alerts?" in operator.get(ADD).content.decode()
    assert "A silence of <b>Acme</b>" in operator.get(f"{ADD}?tenant={acme.pk}").content.decode()


def test_a_silence_is_made_by_whoever_is_signed_in(operator, acme, make_webhook):
    sink = make_webhook()
    assert add(operator, acme, sink=str(sink.uuid), severity_at_least="High").status_code == 302
    made = Silence.objects.get()
    assert (made.tenant, made.destination_id, made.author) == (acme, sink.pk, "operator")
    assert (made.filter, made.reason) == (make_filter("High", [], []), "maintenance")
    assert timedelta(minutes=59) < made.ends_at - timezone.now() <= timedelta(hours=1)
    recorded = Event.objects.filter(type="audit").latest("id").document
    assert (recorded["activity_code"], recorded["initiator_name"]) == ("silence.create", "operator")


def test_a_silence_ends_when_it_was_said_to(operator, acme):
    until = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    add(operator, acme, ends="until", until_0=f"{until:%Y-%m-%d}", until_1=f"{until:%H:%M:%S}")
    assert Silence.objects.get().ends_at == until


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"filter": "severity_id >="}, "filter", "Not a filter"),
        ({"reason": ""}, "reason", "required"),
        ({"ends": "until"}, "until", "Say until when"),
        ({"ends": "until", "until_0": "2020-01-01", "until_1": "00:00:00"}, "until", "later than the start"),
        ({"ends": "until", "until_0": "2999-01-01", "until_1": "00:00:00"}, "until", "within 366 days"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(operator, acme, fields, field, message):
    response = add(operator, acme, **fields)
    assert list(errors_of(response)) == [field]
    assert message in str(errors_of(response)[field])
    assert not Silence.objects.exists()


def test_a_silence_is_not_made_at_a_sink_of_another_tenant(operator, acme, globex, make_webhook):
    foreign = make_webhook(tenant=globex, name="Foreign one")
    assert "Foreign one" not in operator.get(f"{ADD}?tenant={acme.pk}").content.decode()
    assert list(errors_of(add(operator, acme, sink=str(foreign.uuid)))) == ["sink"]


def test_the_list_says_which_are_in_force_and_how_much_each_held_back(
    operator, acme, make_webhook, make_alert, silenced
):
    make_webhook()
    make_webhook()
    make_alert()
    now = timezone.now()
    tomorrow, next_day = now + timedelta(days=1), now + timedelta(days=2)
    make_silence(acme, reason="later", author="a", starts_at=tomorrow, ends_at=next_day)
    Silence.objects.create(tenant=acme, reason="old", author="a", starts_at=now, ends_at=now)
    page = operator.get(LIST).content.decode()
    for words in ("In force", "To come", "Ended", ">2</td>", escape(HOSTILE)):
        assert words in page
    assert HOSTILE not in page
    assert "later" not in operator.get(f"{LIST}?ended=yes").content.decode()
    assert "old" in operator.get(f"{LIST}?ended=yes").content.decode()
    assert "Held back</dt><dd>2</dd>" in operator.get(page_of(silenced)).content.decode()


def test_ending_one_is_noted(operator, silenced):
    assert operator.get(page_of(silenced, "end")).status_code == 405
    operator.post(page_of(silenced, "end"))
    assert Silence.objects.get().ends_at <= timezone.now()
    assert LogEntry.objects.get().change_message == "Ended."
    assert "End now" not in operator.get(page_of(silenced)).content.decode()


def test_silences_are_ended_from_the_list(operator, acme, silenced):
    operator.post(LIST, {"action": "end_chosen", "_selected_action": [str(silenced.pk)]})
    assert not Silence.objects.in_force().exists()


def test_who_may_only_look_neither_makes_nor_ends_one(sign_in, acme, silenced):
    client = sign_in("view_silence")
    assert client.get(page_of(silenced)).status_code == 200
    assert "/end/" not in client.get(page_of(silenced)).content.decode()
    assert client.post(page_of(silenced, "end")).status_code == 403
    assert client.get(ADD).status_code == 403
    assert add(client, acme).status_code == 403
    assert Silence.objects.in_force().count() == 1


def test_a_silence_is_neither_changed_nor_deleted(operator, silenced):
    assert operator.post(page_of(silenced), {"reason": "other"}).status_code == 403
    assert operator.post(page_of(silenced, "delete"), {"post": "yes"}).status_code == 403
    assert Silence.objects.get().reason == HOSTILE


def test_alerts_like_one_are_silenced_from_its_page_and_its_deliverys(operator, acme, make_webhook, make_alert):
    make_webhook()
    make_alert(name="Root login", detection_rule_id="3f1a9d8e-0000-4000-8000-000000000001")
    event = Event.objects.get(type="detection_alert")
    for page, row in (("event", event), ("delivery", Delivery.objects.get())):
        shown = operator.get(reverse(f"admin:eventsinks_{page}_change", args=[row.pk]))
        address = shown.context["silence_like"]
        assert escape(address) in shown.content.decode()
        form = operator.get(address).context["adminform"].form
        assert form["filter_rules"].value() == "3f1a9d8e-0000-4000-8000-000000000001"
    assert "data-preview-now" in operator.get(address).content.decode()


def test_who_may_not_silence_is_not_offered_to(sign_in, make_alert):
    make_alert()
    event = Event.objects.get(type="detection_alert")
    client = sign_in("view_event")
    page = client.get(reverse("admin:eventsinks_event_change", args=[event.pk])).content.decode()
    assert "Silence alerts" not in page
