"""What is kept, expunged and deleted, in the admin: who may do it, and what it shows."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.urls import reverse

from eventsinks.models import Event, Tenant
from eventsinks.models.retention import KEPT
from eventsinks.sweeping import retain
from tests.admin.test_tenant_limits import INLINES, text


def test_the_page_of_a_tenant_shows_what_is_kept_and_sets_the_days(operator, acme, make_alert, monkeypatch):
    make_alert()
    monkeypatch.setattr(retain, "_looked_at", float("-inf"))
    retain.make_missing_walks()
    page = reverse("admin:eventsinks_tenant_change", args=[acme.pk])
    assert all(f"<td>{name}</td>" in text(operator.get(page)) for name in KEPT)
    assert operator.post(page, {"name": "Acme", "keep_detection_alert": "7", **INLINES}).status_code == 302
    acme.refresh_from_db()
    assert acme.own_retention == {"detection_alert": 7}
    assert 'name="keep_detection_alert" value="7"' in text(operator.get(page))


def test_a_tenant_is_deleted_only_if_its_name_is_typed(operator, acme):
    button = reverse("admin:eventsinks_tenant_delete_all", args=[acme.pk])
    assert operator.get(button).status_code == 405
    operator.post(button, {"name": "Other"})
    assert Tenant.objects.get().deleted_at is None
    operator.post(button, {"name": "Acme"})
    assert Tenant.objects.get().deleted_at
    assert LogEntry.objects.exists()
    page = operator.get(reverse("admin:eventsinks_tenant_change", args=[acme.pk]))
    assert "Delete all" not in text(page)


def test_who_may_not_delete_neither_deletes_nor_expunges(sign_in, acme, make_alert):
    make_alert()
    client = sign_in("view_tenant", "change_tenant", "view_event")
    event = Event.objects.get(type="detection_alert")
    buttons = [("tenant_delete_all", acme.pk), ("event_expunge", event.pk)]
    for name, id in buttons:
        assert client.post(reverse(f"admin:eventsinks_{name}", args=[id]), {"name": "Acme"}).status_code == 403


def test_an_event_is_expunged_with_a_button(operator, make_alert):
    make_alert(text="the-payload")
    event = Event.objects.get(type="detection_alert")
    page = reverse("admin:eventsinks_event_change", args=[event.pk])
    assert "the-payload" in text(operator.get(page))
    operator.post(reverse("admin:eventsinks_event_expunge", args=[event.pk]))
    shown = text(operator.get(page))
    assert ("the-payload" in shown, "It was expunged" in shown) == (False, True)
