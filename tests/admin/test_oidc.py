"""Logging in at a provider: the double here speaks HTTP and signs as a real one does."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import Group, User
from django.test import Client
from werkzeug import Request, Response

pytestmark = pytest.mark.django_db
KEY, FOREIGN_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
BEGIN = "/admin/account/oidc/oidc/"
JO = {"sub": "jo-1", "email": "jo@acme.example", "email_verified": True, "preferred_username": "jo"}


class Provider:
    """An OpenID Connect provider on loopback, which lets everybody in as `claims`."""

    def __init__(self, server):
        self.url = server.url_for("").rstrip("/")
        self.claims, self.key, self.algorithm, self.asked = dict(JO), KEY, "RS256", []
        server.expect_request("/.well-known/openid-configuration").respond_with_json(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        server.expect_request("/keys").respond_with_json({"keys": [{**public, "kid": "k1", "alg": "RS256"}]})
        server.expect_request("/token", method="POST").respond_with_handler(self.token)

    def token(self, request: Request) -> Response:
        """Trade a code for an id_token."""
        self.asked.append(request)
        return Response(json.dumps({"access_token": "a", "token_type": "Bearer", **self.id_token()}))

    def id_token(self):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "eventsinks", "iat": now, "exp": now + 60, **self.claims}
        return {"id_token": jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": "k1"})}


@pytest.fixture
def provider(httpserver, settings, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nothing listens there: it must not be asked
    monkeypatch.setenv("NO_PROXY", "")
    made = Provider(httpserver)
    settings.OIDC_ISSUER, settings.OIDC_NAME = made.url, "Acme SSO"
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": "Acme SSO",
                    "client_id": "eventsinks",
                    "secret": "of-the-client",
                    "settings": {"server_url": made.url},
                }
            ],
        }
    }
    return made


def come_in(client=None, path=BEGIN):
    """Go to the provider and come back with a code, as a browser does."""
    client = client or Client()
    away = client.get(path)
    assert away.status_code == 302, away.content
    query = {name: value for name, (value,) in parse_qs(urlsplit(away.url).query).items()}
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == "http://127.0.0.1:8000/admin/account/oidc/oidc/callback/"
    answer = client.get(f"{BEGIN}callback/", {"state": query["state"], "code": "c1"})
    return client, answer


def is_in(client):
    return "_auth_user_id" in client.session


def said(client):
    return client.get("/admin/login/").content.decode()


def test_it_is_off_unless_it_is_set():
    client = Client()
    assert "Log in with" not in said(client).replace("Log in with a passkey", "")
    assert client.get(BEGIN).status_code == 404
    assert client.get(f"{BEGIN}callback/").status_code == 404


def test_the_log_in_page_has_its_button(provider):
    page = said(Client())
    assert "Log in with Acme SSO" in page
    assert BEGIN in page


def test_somebody_of_an_allowed_domain_comes_in_and_may_do_nothing_yet(provider, settings):
    settings.OIDC_ALLOWED_DOMAINS = ["Acme.example"]
    client, answer = come_in()
    assert (answer.status_code, answer.url) == (302, "/admin/")
    person = User.objects.get()
    assert (person.username, person.email, person.is_staff) == ("jo", "jo@acme.example", True)
    assert (person.is_superuser, person.get_all_permissions(), person.has_usable_password()) == (
        False,
        set(),
        False,
    )
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/auth/user/").status_code == 403
    again, _ = come_in()
    assert is_in(again)
    assert User.objects.count() == 1
    assert not SocialToken.objects.exists()


def test_new_people_join_the_group_of_the_settings(provider, settings):
    settings.OIDC_ALLOWED_DOMAINS, settings.OIDC_STAFF_GROUP = ["acme.example"], "watchers"
    group = Group.objects.create(name="watchers")
    come_in()
    assert list(User.objects.get().groups.all()) == [group]


@pytest.mark.parametrize(
    ("domains", "group", "claims", "comes_in"),
    [
        ([], "", {}, False),
        (["acme.example"], "", {}, True),
        (["acme.example"], "", {"email_verified": False}, False),
        (["acme.example"], "", {"email_verified": "true"}, False),
        (["acme.example"], "", {"email": "jo@evil.example"}, False),
        (["acme.example"], "", {"email": "jo@acme.example.evil.example"}, False),
        (["acme.example"], "", {"email": None}, False),
        ([], "ops", {"groups": ["dev", "ops"]}, True),
        ([], "ops", {"groups": "ops"}, True),
        ([], "ops", {"groups": "devops"}, False),
        ([], "ops", {}, False),
        (["acme.example"], "ops", {"groups": ["dev"]}, False),
        (["acme.example"], "ops", {"groups": ["ops"], "email": "jo@evil.example"}, False),
    ],
)
def test_only_who_every_rule_allows_comes_in(provider, settings, domains, group, claims, comes_in):
    settings.OIDC_ALLOWED_DOMAINS, settings.OIDC_REQUIRED_GROUP = domains, group
    provider.claims |= claims
    client, answer = come_in()
    assert is_in(client) == comes_in
    assert User.objects.exists() == comes_in
    if not comes_in:
        assert answer.url == "/admin/login/"
        assert "may not log in here" in said(client)


def test_who_is_no_longer_allowed_does_not_come_in_again(provider, settings):
    settings.OIDC_REQUIRED_GROUP = "ops"
    provider.claims["groups"] = ["ops"]
    assert is_in(come_in()[0])
    provider.claims["groups"] = []
    assert not is_in(come_in()[0])
    User.objects.update(is_active=False)
    provider.claims["groups"] = ["ops"]
    assert not is_in(come_in()[0])


@pytest.mark.parametrize("verified", [True, False])
def test_nobody_becomes_an_account_that_is_there_by_its_address_or_name(provider, settings, verified):
    settings.OIDC_REQUIRED_GROUP = "ops"
    boss = User.objects.create_superuser("jo", "jo@acme.example", "a long password")
    provider.claims |= {"groups": ["ops"], "email_verified": verified}
    client, _ = come_in()
    assert client.session["_auth_user_id"] != str(boss.pk)
    assert not User.objects.get(pk=client.session["_auth_user_id"]).is_superuser
    assert not SocialAccount.objects.filter(user=boss).exists()


def test_who_connected_their_account_while_logged_in_comes_in_without_a_rule(provider):
    boss = User.objects.create_superuser("boss", password="a long password")
    client = Client()
    client.post("/admin/login/", {"login": "boss", "password": "a long password"})
    client.post("/admin/account/password-again/", {"password": "a long password"})
    come_in(client, f"{BEGIN}?process=connect")
    assert SocialAccount.objects.get().user == boss
    other, _ = come_in()
    assert other.session["_auth_user_id"] == str(boss.pk)


def forged(provider):
    provider.key = FOREIGN_KEY


def for_another(provider):
    provider.claims["aud"] = "another-client"


def of_another(provider):
    provider.claims["iss"] = "https://evil.example"


def expired(provider):
    provider.claims["exp"] = int(time.time()) - 3600


def signed_with_a_public_key(provider):
    provider.key, provider.algorithm = "a shared secret of thirty-two bytes or more", "HS256"


def unsigned(provider):
    provider.key, provider.algorithm = None, "none"


def without(provider):
    provider.id_token = dict


@pytest.mark.parametrize(
    "wrong", [forged, for_another, of_another, expired, signed_with_a_public_key, unsigned, without]
)
def test_an_id_token_that_is_not_right_lets_nobody_in(provider, settings, wrong):
    settings.OIDC_ALLOWED_DOMAINS = ["acme.example"]
    wrong(provider)
    client, answer = come_in()
    assert answer.url == "/admin/login/"
    assert "did not let you in" in said(client)
    assert not User.objects.exists()
    assert provider.asked


def test_a_state_of_another_browser_lets_nobody_in(provider, settings):
    settings.OIDC_ALLOWED_DOMAINS = ["acme.example"]
    away = Client().get(BEGIN)
    state = parse_qs(urlsplit(away.url).query)["state"][0]
    victim = Client()
    victim.get(f"{BEGIN}callback/", {"state": state, "code": "c1"})
    assert not is_in(victim)
    assert not provider.asked


def test_a_provider_that_is_away_is_said_to_be(settings, provider, httpserver):
    httpserver.clear()
    client = Client()
    answer = client.get(BEGIN)
    assert answer.url == "/admin/login/"
    assert "could not be asked" in said(client)


def test_a_second_factor_is_asked_for_all_the_same(provider, settings):
    from allauth.mfa.totp.internal.auth import TOTP

    settings.OIDC_ALLOWED_DOMAINS = ["acme.example"]
    come_in()
    TOTP.activate(User.objects.get(), "JBSWY3DPEHPK3PXP")
    client, answer = come_in()
    assert answer.url == "/admin/account/code/"
    assert not is_in(client)
