"""Guessing is slowed and locked, nobody locks another out for ever, and nothing that was sent is kept."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from django.utils import timezone

from eventsinks.admin.people.lockout import get_address
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
PASSWORD, TYPED = "a long password", "hunter2-typed-wrong"
HERE, THERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def people(db, settings):
    settings.AXES_FAILURE_LIMIT, settings.EVENTSINKS_LOGIN_FAILURES_OF_ADDRESS = 3, 7
    User.objects.create_superuser("root", password=PASSWORD)
    User.objects.create_user("clerk", password=PASSWORD, is_staff=True)


def log_in(name="root", password=PASSWORD, address=HERE, client=None, **more):
    given = {"login": name, "password": password, **more}
    return (client or Client()).post("/admin/login/", given, REMOTE_ADDR=address)


def fail(times, name="root", address=HERE, **more):
    return [log_in(name, TYPED, address, **more).status_code for _ in range(times)]


def forget(seconds):
    """Let time pass."""
    earlier = timezone.now() - timedelta(seconds=seconds)
    AccessAttempt.objects.update(attempt_time=earlier)


def test_a_name_and_its_password_lead_to_the_page_that_was_asked_for():
    client = Client()
    assert client.get("/admin/auth/user/").url == "/admin/login/?next=/admin/auth/user/"
    answer = client.post("/admin/login/?next=/admin/auth/user/", {"login": "root", "password": PASSWORD})
    assert (answer.status_code, answer.url) == (302, "/admin/auth/user/")
    assert client.get("/admin/auth/user/").status_code == 200


def test_the_way_back_leads_to_no_other_site():
    answer = Client().post("/admin/login/?next=https://evil.example/", {"login": "root", "password": PASSWORD})
    assert answer.url == "/admin/"


def test_too_many_failures_lock_the_account_for_that_address_and_say_when_to_come_back(settings):
    settings.EVENTSINKS_LOGIN_LOCK_S = 600
    assert fail(3) == [200, 200, 429]
    answer = log_in()
    assert answer.status_code == 429
    assert 590 <= int(answer["Retry-After"]) <= 601
    assert b"Too many log-ins failed" in answer.content
    assert "style" not in answer.content.decode().replace("stylesheet", "")


def test_a_stranger_locks_nobody_out_but_themselves():
    fail(7, address=THERE)
    assert log_in(address=THERE).status_code == 429
    assert log_in(address=HERE).status_code == 302


def test_an_address_that_tries_many_accounts_is_locked_altogether():
    assert [log_in(f"nobody-{n}", TYPED).status_code for n in range(7)] == [200] * 6 + [429]
    assert log_in("clerk").status_code == 429
    assert log_in("clerk", address=THERE).status_code == 302


def test_who_has_one_account_does_not_guess_at_the_others_for_ever():
    for _ in range(3):
        fail(2, "root")
        forget(1)
        log_in("clerk")
    assert log_in("root").status_code == 429


def test_a_success_forgets_the_failures_of_that_account():
    fail(2)
    assert log_in().status_code == 302
    assert fail(2) == [200, 200]


def test_a_lock_ends_and_who_goes_on_trying_does_not_make_it_longer(settings):
    settings.EVENTSINKS_LOGIN_LOCK_S = 600
    fail(3)
    forget(590)
    assert fail(3) == [429] * 3
    forget(601)
    assert log_in().status_code == 302


def test_the_address_is_the_one_that_the_front_saw_and_no_header_changes_it():
    for n in range(3):
        Client().post(
            "/admin/login/",
            {"login": "root", "password": TYPED},
            REMOTE_ADDR=HERE,
            headers={"X-Forwarded-For": f"192.0.2.{n}", "X-Real-Ip": f"192.0.2.{n}", "Forwarded": "for=192.0.2.1"},
        )
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {HERE}
    assert log_in().status_code == 429


def test_another_browser_at_the_same_address_is_no_other_stranger():
    for n in range(3):
        log_in("root", TYPED, client=Client(headers={"User-Agent": f"browser {n}"}))
    assert log_in().status_code == 429


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("", None),
        ("not an address", None),
    ],
)
def test_failures_are_counted_by_address_of_ipv6_by_network(rf, peer, counted):
    assert get_address(rf.get("/", REMOTE_ADDR=peer)) == counted


def test_nothing_that_was_sent_is_kept(caplog):
    client = Client()
    sent = {"code": "123456-code", "other": "in-a-field", "next": "/admin/?token=in-next"}
    client.post("/admin/login/?key=in-the-query", {"login": "root", "password": TYPED, **sent}, REMOTE_ADDR=HERE)
    log_in(PASSWORD, TYPED)  # the password, typed where the name belongs
    kept = serializers.serialize("json", AccessAttempt.objects.all())
    assert AccessAttempt.objects.count() == 2
    for text in (TYPED, PASSWORD, "123456-code", "in-a-field", "in-next", "in-the-query"):
        assert text not in kept
        assert text not in caplog.text
    fields = [row["fields"] for row in json.loads(kept)]
    assert {(row["get_data"].strip(), row["post_data"].strip()) for row in fields} == {("", "")}


def test_a_name_of_no_account_is_locked_as_one_of_an_account_is():
    assert fail(4, "root", HERE) == fail(4, "nobody", THERE) == [200, 200, 429, 429]


def test_somebody_who_may_not_use_the_admin_is_not_logged_in():
    User.objects.create_user("outsider", password=PASSWORD)
    client = Client()
    answer = log_in("outsider", client=client)
    assert (answer.status_code, answer.url) == (302, "/admin/login/")
    assert b"may not log in here" in client.get("/admin/login/").content
    assert "_auth_user_id" not in client.session


def test_who_lost_the_right_to_be_here_is_asked_again_and_not_sent_in_circles():
    client = Client()
    log_in("clerk", client=client)
    User.objects.filter(username="clerk").update(is_staff=False)
    page = client.get("/admin/", follow=True)
    assert (page.status_code, len(page.redirect_chain)) == (200, 1)
    assert "_auth_user_id" not in client.session


def test_an_operator_unlocks_in_the_admin_and_it_is_noted(client):
    fail(3, "clerk")
    client.force_login(User.objects.get(username="root"))
    page = client.get(reverse("admin:axes_accessattempt_changelist"))
    assert "Locked" in page.content.decode()
    attempt = AccessAttempt.objects.get()
    chosen = {"action": "unlock", "_selected_action": [attempt.pk]}
    client.post(reverse("admin:axes_accessattempt_changelist"), chosen)
    assert log_in("clerk").status_code == 302
    assert "clerk" in client.get(reverse("admin:admin_logentry_changelist")).content.decode()


def test_who_may_not_unlock_does_not(sign_in):
    fail(3, "clerk")
    attempt = AccessAttempt.objects.get()
    client = sign_in("view_accessattempt")
    chosen = {"action": "unlock", "_selected_action": [attempt.pk]}
    client.post(reverse("admin:axes_accessattempt_changelist"), chosen)
    assert AccessAttempt.objects.exists()


def test_the_command_unlocks_too():
    fail(3)
    call_command("axes_reset_username", "root")
    assert log_in().status_code == 302


def test_wrong_api_keys_and_calls_of_the_api_have_nothing_to_do_with_it(acme_key):
    fail(7)
    caller, stranger = Caller(acme_key), Caller("es_wrong")
    for one in (caller, stranger):
        one.client.defaults["REMOTE_ADDR"] = HERE
    before = AccessAttempt.objects.count()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert caller.get("/v1/event_sink").status_code == 200
        assert stranger.get("/v1/event_sink").status_code == 401
    assert not [query for query in asked.captured_queries if "axes" in query["sql"]]
    assert AccessAttempt.objects.count() == before


@pytest.mark.parametrize(
    "path",
    [
        "signup/",
        "password/reset/",
        "email/",
        "confirm-email/",
        "social/",
        "login/code/",
        "inactive/",
        "connections/",
    ],
)
def test_no_other_page_of_allauth_is_there(path):
    for prefix in ("/", "/accounts/", "/admin/account/", "/admin/"):
        answer = Client().get(prefix + path)  # the admin asks who it is before it says that there is no such page
        assert answer.status_code == 404 or answer.url.startswith("/admin/login/?next=")
    names = {
        url.name for url in get_resolver().url_patterns if str(getattr(url, "name", "")).startswith("account_")
    }
    assert names == {"account_login", "account_logout", "account_reauthenticate"}


def test_accounts_and_their_factors_have_no_page_that_shows_their_secrets():
    from django.contrib import admin

    ours = {model._meta.app_label for model in admin.site._registry}
    assert ours == {"eventsinks", "auth", "admin", "axes"}
