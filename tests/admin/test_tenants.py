"""Tenants and their API keys."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from eventsinks.actions.tenants import issue_key
from eventsinks.models import SCOPES, ApiKey, Tenant
from eventsinks.models.tenant import OPERATOR, make_key_digest

ADD_KEY = "admin:eventsinks_apikey_add"


def issue(client, **fields):
    given = {"name": "a key", "scopes": ["delivery:read"], "expires_at_0": "", "expires_at_1": "", **fields}
    return client.post(reverse(ADD_KEY), given)


def test_a_tenant_is_made_and_renamed(operator):
    operator.post(reverse("admin:eventsinks_tenant_add"), {"name": "Initech"})
    tenant = Tenant.objects.get(name="Initech")
    forms = {
        f"{prefix}-{field}": 0
        for prefix in ("api_keys", "destinations", "destinations-2", "slack_workspaces")
        for field in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    operator.post(reverse("admin:eventsinks_tenant_change", args=[tenant.pk]), {"name": "Initrode", **forms})
    tenant.refresh_from_db()
    assert tenant.name == "Initrode"


def test_a_new_key_is_shown_once_and_kept_nowhere(operator, acme):
    response = issue(operator, tenant=acme.pk)
    key = ApiKey.objects.get()
    page = response.content.decode()
    text = page.partition('<code id="secret">')[2].partition("</code>")[0]
    assert make_key_digest(text) == key.digest
    assert (key.tenant, key.scopes, key.name) == (acme, ["delivery:read"], "a key")
    assert "no-store" in response.headers["Cache-Control"]
    for cookie in response.cookies.values():
        assert text not in cookie.value
    assert all(text not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(text not in entry.change_message + entry.object_repr for entry in LogEntry.objects.all())
    for address in (reverse("admin:eventsinks_apikey_change", args=[key.pk]), reverse("admin:index")):
        assert text not in operator.get(address).content.decode()


def test_a_key_without_a_tenant_is_an_operators(operator):
    issue(operator, tenant="", scopes=list(SCOPES))
    assert ApiKey.objects.get().scopes == [OPERATOR]


def test_a_key_that_may_do_nothing_or_has_ended_already_is_not_issued(operator, acme):
    no_scope = issue(operator, tenant=acme.pk, scopes=[])
    assert "choose at least one scope" in no_scope.content.decode()
    over = issue(operator, tenant=acme.pk, expires_at_0="2020-01-01", expires_at_1="00:00:00")
    assert "This moment has passed" in over.content.decode()
    unknown = issue(operator, tenant=acme.pk, scopes=["everything"])
    assert unknown.status_code == 200
    assert not ApiKey.objects.exists()


def test_a_key_ends_when_it_was_said_to(operator, acme):
    end = (timezone.now() + timedelta(days=2)).replace(microsecond=0)
    issue(operator, tenant=acme.pk, expires_at_0=f"{end:%Y-%m-%d}", expires_at_1=f"{end:%H:%M:%S}")
    assert ApiKey.objects.get().expires_at == end


def test_revoking_ends_a_key_and_is_noted(operator, acme):
    key, _ = issue_key(acme)
    address = reverse("admin:eventsinks_apikey_revoke", args=[key.pk])
    assert operator.get(address).status_code == 405
    operator.post(address)
    key.refresh_from_db()
    assert not key.is_usable
    assert LogEntry.objects.get().change_message == "Revoked."
    assert address not in operator.get(reverse("admin:eventsinks_apikey_change", args=[key.pk])).content.decode()


def test_keys_are_revoked_from_the_list(operator, acme, globex):
    keys = [issue_key(tenant)[0] for tenant in (acme, acme, globex)]
    chosen = {"action": "revoke", "_selected_action": [key.pk for key in keys[:2]]}
    operator.post(reverse("admin:eventsinks_apikey_changelist"), chosen)
    assert list(ApiKey.objects.usable()) == [keys[2]]


def test_who_may_only_look_revokes_nothing(sign_in, acme):
    key, _ = issue_key(acme)
    client = sign_in("view_apikey")
    assert client.post(reverse("admin:eventsinks_apikey_revoke", args=[key.pk])).status_code == 403
    assert ApiKey.objects.usable().exists()


def test_a_key_is_neither_changed_nor_deleted(operator, acme):
    key, _ = issue_key(acme)
    change = reverse("admin:eventsinks_apikey_change", args=[key.pk])
    assert operator.post(change, {"name": "other", "scopes": []}).status_code == 403
    assert operator.get(reverse("admin:eventsinks_apikey_delete", args=[key.pk])).status_code == 403
