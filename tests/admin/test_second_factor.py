"""A second factor is asked for after the password, is good once, can be required, and can be reset."""

from __future__ import annotations

import json

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from eventsinks.actions.secrets.reencrypt import reencrypt
from eventsinks.admin.people.second_factor import get_passkey_host
from eventsinks.lib.secrets.crypto import make_key
from eventsinks.models.secrets.sealing import open_factor

pytestmark = pytest.mark.django_db
PASSWORD = "a long password"
NOW = 1_790_000_010  # in the middle of a half minute
ASKED = ["mfa_activate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes"]


@pytest.fixture(autouse=True)
def clock():
    cache.clear()  # it counts how often somebody gave their password again
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", password=PASSWORD)


def password(client, name="root"):
    return client.post("/admin/login/?next=/admin/", {"login": name, "password": PASSWORD})


def code_of(secret, at=NOW):
    return format_hotp_value(hotp_value(secret, at // 30))


def enrol(client):
    """Add an authenticator app; return its secret."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert answer.status_code == 302
    return secret


@pytest.fixture
def enrolled(root, clock):
    """Return the secret of root's app, some minutes later."""
    client = Client()
    password(client)
    secret = enrol(client)
    clock.move_to(NOW + 300)
    return secret


def test_the_page_of_an_app_has_its_code_as_a_picture_of_its_own(root):
    client = Client()
    password(client)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_after_the_password_a_code_is_asked_for_and_nothing_opens_before(enrolled):
    client = Client()
    answer = password(client)
    assert answer.url == reverse("mfa_authenticate")
    assert client.get("/admin/").status_code == 302
    assert "_auth_user_id" not in client.session
    answer = client.post(reverse("mfa_authenticate"), {"code": code_of(enrolled, NOW + 300)})
    assert answer.url == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_code_is_good_once_in_whichever_process(enrolled):
    for status in (302, 200):
        client = Client()
        password(client)
        cache.clear()  # each process has its own
        answer = client.post(reverse("mfa_authenticate"), {"code": code_of(enrolled, NOW + 300)})
        assert answer.status_code == status
    assert "_auth_user_id" not in client.session


def test_wrong_codes_are_counted_and_lock_as_wrong_passwords_do(enrolled, settings):
    settings.AXES_FAILURE_LIMIT = 3
    client = Client()
    password(client)
    answers = [client.post(reverse("mfa_authenticate"), {"code": "000000"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert int(answers[-1]["Retry-After"]) > 0
    right = client.post(reverse("mfa_authenticate"), {"code": code_of(enrolled, NOW + 300)})
    assert right.status_code == 429
    assert "_auth_user_id" not in client.session


def test_the_password_alone_does_not_forget_wrong_codes(enrolled, settings):
    settings.AXES_FAILURE_LIMIT = 3
    for expected in (200, 200, 429):
        client = Client()
        password(client)
        assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == expected


def test_a_recovery_code_stands_in_for_the_app_once(enrolled, root):
    codes = Authenticator.objects.get(user=root, type="recovery_codes").wrap().get_unused_codes()
    for status in (302, 200):
        client = Client()
        password(client)
        assert client.post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == status


def test_secrets_are_sealed_and_sealed_anew_with_a_new_key(enrolled, root, settings):
    app = Authenticator.objects.get(user=root, type="totp")
    assert enrolled not in json.dumps(app.data)
    assert open_factor(app.data["secret"]) == enrolled
    old = settings.EVENTSINKS_ENCRYPTION_KEYS
    settings.EVENTSINKS_ENCRYPTION_KEYS = [make_key(), *old]
    assert reencrypt().anew == 2
    settings.EVENTSINKS_ENCRYPTION_KEYS = settings.EVENTSINKS_ENCRYPTION_KEYS[:1]
    app.refresh_from_db()
    assert open_factor(app.data["secret"]) == enrolled
    assert reencrypt().anew == 0


@pytest.mark.parametrize("name", ASKED)
def test_factors_are_changed_after_the_password_was_given_again(root, name):
    client = Client()
    assert client.get(reverse(name)).status_code == 302
    client.force_login(root)
    assert reverse("account_reauthenticate") in client.get(reverse(name)).url


def test_a_wrong_password_given_again_counts(root, settings):
    settings.AXES_FAILURE_LIMIT = 2
    client = Client()
    client.force_login(root)
    answers = [client.post(reverse("account_reauthenticate"), {"password": "wrong"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]


def every_admin_page():
    from django.contrib import admin

    yield reverse("admin:index")
    yield reverse("admin:password_change")
    yield reverse("admin:autocomplete")
    for model in admin.site._registry:
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    yield reverse("admin:eventsinks_slackworkspace_install")


def test_where_a_factor_is_required_no_page_opens_without_one(root, settings):
    client = Client()
    client.force_login(root)
    assert client.get("/admin/").status_code == 200
    settings.EVENTSINKS_REQUIRE_SECOND_FACTOR = True
    for address in every_admin_page():
        for answer in (client.get(address), client.post(address)):
            assert (answer.status_code, answer.url) == (302, reverse("mfa_index")), address
    assert client.get(reverse("mfa_index")).status_code == 200
    enrol(client)
    assert client.get("/admin/").status_code == 200
    assert client.post(reverse("admin:logout")).status_code in (200, 302)


def test_recovery_codes_alone_are_no_second_factor(root, settings):
    settings.EVENTSINKS_REQUIRE_SECOND_FACTOR = True
    Authenticator.objects.create(user=root, type="recovery_codes", data={})
    client = Client()
    client.force_login(root)
    assert client.get("/admin/").url == reverse("mfa_index")


def test_a_superuser_resets_a_lost_factor_and_it_is_noted(enrolled, root):
    boss = User.objects.create_superuser("boss", password=PASSWORD)
    client = Client()
    client.force_login(boss)
    change = reverse("admin:auth_user_change", args=[root.pk])
    reset = reverse("admin:auth_user_reset_second_factor", args=[root.pk])
    assert reset in client.get(change).content.decode()
    assert client.get(reset).status_code == 405
    assert client.post(reset).status_code == 302
    assert not Authenticator.objects.filter(user=root).exists()
    entry = LogEntry.objects.latest("id")
    assert (entry.user, entry.object_id, entry.change_message) == (boss, str(root.pk), "Second factor reset.")
    assert reset not in client.get(change).content.decode()
    assert password(Client()).url == "/admin/"


def test_nobody_but_a_superuser_resets_one(enrolled, root, sign_in):
    client = sign_in("change_user", "view_user")
    assert client.post(reverse("admin:auth_user_reset_second_factor", args=[root.pk])).status_code == 403
    assert Authenticator.objects.filter(user=root).exists()


def test_the_command_resets_one_for_who_has_the_server(enrolled, root, capsys):
    call_command("reset_second_factor", "root")
    assert capsys.readouterr().out == "Reset.\n"
    assert not Authenticator.objects.exists()
    call_command("reset_second_factor", "root")
    assert capsys.readouterr().out == "There was none.\n"


def test_what_somebody_does_to_their_factors_is_noted(root, django_capture_on_commit_callbacks):
    client = Client()
    password(client)
    with django_capture_on_commit_callbacks(execute=True):
        enrol(client)
    messages = [entry.change_message for entry in LogEntry.objects.order_by("id")]
    assert "Second factor added: TOTP Authenticator." in messages


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("https://events.example.com", "events.example.com"),
        ("https://events.example.com:8443", "events.example.com"),
        ("http://127.0.0.1:8000", "localhost"),
        ("http://[::1]:8000", "localhost"),
        ("http://localhost:8000", "localhost"),
    ],
)
def test_passkeys_are_for_the_host_of_the_public_url(settings, public_url, host):
    settings.PUBLIC_URL = public_url
    assert get_passkey_host() == host
