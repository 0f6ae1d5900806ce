"""Nobody in the admin gives themselves, or another, more than they were given."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from eventsinks.actions import configure
from eventsinks.actions.tenants import issue_key
from eventsinks.models import ApiKey

ADD_KEY, KEYS = "admin:eventsinks_apikey_add", "admin:eventsinks_apikey_changelist"
USER, ADD_USER, PASSWORD, DELETE_USER = (
    f"admin:auth_user_{page}" for page in ("change", "add", "password_change", "delete")
)
NEVER = {"expires_at_0": "", "expires_at_1": ""}


@pytest.fixture
def clerk(sign_in):
    """Sign in somebody who looks after accounts and keys, and is no superuser."""
    return sign_in(*(f"{verb}_{of}" for verb in ("view", "add", "change", "delete") for of in ("user", "apikey")))


@pytest.fixture
def boss(db):
    return User.objects.create_superuser("boss", password="a long password")


@pytest.fixture
def colleague(db):
    """Return somebody who may see event sinks, which the clerk may not."""
    made = User.objects.create_user("colleague", password="a long password", is_staff=True)
    made.user_permissions.set(Permission.objects.filter(codename="view_eventsink"))
    return made


def saved(person, **changed):
    """Return the form of an account as it is, with what is changed of it."""
    as_it_is = {
        "username": person.username,
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    return {**as_it_is, **changed}


def test_an_operators_key_is_issued_by_a_superuser_only(clerk, operator_key_form, boss, client):
    assert clerk.post(reverse(ADD_KEY), operator_key_form).context["adminform"].form.errors["tenant"]
    assert not ApiKey.objects.exists()
    client.force_login(boss)
    client.post(reverse(ADD_KEY), operator_key_form)
    assert ApiKey.objects.get().scopes == ["operator"]


@pytest.fixture
def operator_key_form():
    return {"tenant": "", "name": "x", **NEVER}


def test_an_operators_key_is_not_made_of_a_tenants_by_a_scope(clerk, acme):
    given = {"tenant": acme.pk, "name": "x", "scopes": ["operator"], **NEVER}
    assert clerk.post(reverse(ADD_KEY), given).context["adminform"].form.errors["scopes"]
    assert not ApiKey.objects.exists()


def test_a_key_is_moved_to_no_other_tenant_and_given_no_scope(clerk, acme):
    key, _ = issue_key(acme, scopes=["event:read"])
    change = reverse("admin:eventsinks_apikey_change", args=[key.pk])
    assert clerk.post(change, {"tenant": "", "name": "x", "scopes": ["operator"], **NEVER}).status_code == 403
    key.refresh_from_db()
    assert (key.tenant, key.scopes) == (acme, ["event:read"])


def test_an_operators_key_is_revoked_by_a_superuser_only(clerk, acme, boss, client):
    ours, theirs = issue_key(None)[0], issue_key(acme)[0]
    revoke = reverse("admin:eventsinks_apikey_revoke", args=[ours.pk])
    assert clerk.post(revoke).status_code == 403
    chosen = {"action": "revoke", "_selected_action": [ours.pk, theirs.pk]}
    clerk.post(reverse(KEYS), chosen)
    assert set(ApiKey.objects.filter(revoked_at=None)) == {ours}
    client.force_login(boss)
    client.post(revoke)
    assert not ApiKey.objects.filter(revoked_at=None).exists()


def test_who_looks_after_accounts_makes_nobody_more_than_they_are(clerk):
    group = Group.objects.create(name="all")
    everything = [permission.pk for permission in Permission.objects.all()]
    more = {"is_superuser": "on", "groups": [group.pk], "user_permissions": everything}
    for username in ("limited", "new"):
        if username == "new":
            given = {"username": "new", "password1": "a long password", "password2": "a long password"}
            clerk.post(reverse(ADD_USER), {**given, "usable_password": "true", **more})
        person = User.objects.get(username=username)
        before = set(person.user_permissions.all())
        answer = clerk.post(reverse(USER, args=[person.pk]), saved(person, first_name="Changed", **more))
        assert answer.status_code == 302
        person.refresh_from_db()
        assert (person.first_name, person.is_superuser) == ("Changed", False)
        assert (set(person.user_permissions.all()), person.groups.count()) == (before, 0)


@pytest.mark.parametrize("who", ["boss", "colleague"])
def test_who_may_do_more_is_not_changed_taken_away_or_given_another_password(clerk, who, boss, colleague):
    person = {"boss": boss, "colleague": colleague}[who]
    new = {"password1": "another password", "password2": "another password", "usable_password": "true"}
    assert clerk.post(reverse(PASSWORD, args=[person.pk]), new).status_code == 403
    assert clerk.post(reverse(USER, args=[person.pk]), saved(person, username="taken-over")).status_code == 403
    assert clerk.post(reverse(DELETE_USER, args=[person.pk]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [person.pk], "post": "yes"}
    clerk.post(reverse("admin:auth_user_changelist"), chosen)
    kept = User.objects.get(pk=person.pk)
    assert kept.username == who
    assert kept.check_password("a long password")


def test_who_is_inactive_for_now_is_not_taken_over_either(clerk, colleague):
    User.objects.filter(pk=colleague.pk).update(is_active=False)
    new = {"password1": "another password", "password2": "another password", "usable_password": "true"}
    assert clerk.post(reverse(PASSWORD, args=[colleague.pk]), new).status_code == 403


def test_what_comes_by_a_group_counts(clerk, colleague):
    group = Group.objects.create(name="watchers")
    group.permissions.set(colleague.user_permissions.all())
    colleague.user_permissions.clear()
    colleague.groups.add(group)
    assert clerk.post(reverse(USER, args=[colleague.pk]), saved(colleague, username="x")).status_code == 403


def test_a_superuser_changes_everybody(operator, colleague):
    answer = operator.post(reverse(USER, args=[colleague.pk]), saved(colleague, is_superuser="on"))
    assert answer.status_code == 302
    colleague.refresh_from_db()
    assert colleague.is_superuser


def test_groups_are_changed_by_superusers_only(sign_in):
    group = Group.objects.create(name="mine")
    client = sign_in("view_group", "add_group", "change_group", "delete_group")
    User.objects.get(username="limited").groups.add(group)
    everything = [permission.pk for permission in Permission.objects.all()]
    change = reverse("admin:auth_group_change", args=[group.pk])
    assert client.get(change).status_code == 200
    assert client.post(change, {"name": "mine", "permissions": everything}).status_code == 403
    assert client.post(reverse("admin:auth_group_add"), {"name": "x"}).status_code == 403
    assert client.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"}).status_code == 403
    assert not group.permissions.exists()


def test_a_signing_secret_is_shown_to_who_may_see_the_sink_and_may_reveal_it(sign_in, acme):
    sink = configure.create(acme, "webhook", {"url": "https://example.com/"}, name="Hook")
    address = reverse("admin:eventsinks_eventsink_signing_secret", args=[sink.pk])
    for permissions, status in (
        (["view_eventsink", "change_eventsink", "add_eventsink"], 403),
        (["reveal_signing_secret"], 403),
        (["reveal_signing_secret", "view_eventsink"], 200),
    ):
        User.objects.filter(username="limited").delete()
        answer = sign_in(*permissions).post(address)
        assert answer.status_code == status
        assert (sink.signing_secret in answer.content.decode()) == (status == 200)
