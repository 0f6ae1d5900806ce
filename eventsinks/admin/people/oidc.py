"""Logging in at an OpenID Connect provider: off unless OIDC_ISSUER is set.

The operator's provider says who somebody is, in a signed id_token that is always checked. This server decides
whether they may come in. An e-mail address never connects anybody to an existing account.
"""

from __future__ import annotations

from typing import Any

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

REFUSED = "You are known there, but may not log in here."


class OidcAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """The requests to the provider."""

    def get_provider(self) -> Any:
        """Return the provider, which uses this adapter."""
        provider = super().get_provider()
        provider.oauth2_adapter_class = type(self)
        return provider

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return the address that is registered at the provider."""
        path = reverse("openid_connect_callback", kwargs={"provider_id": self.provider_id})
        return f"{settings.PUBLIC_URL}{path}"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Return who it is, from the id_token alone. Raises OAuth2Error without one."""
        text = kwargs["response"].get("id_token")
        if not text:
            raise OAuth2Error("the provider sent no id_token")
        claims = {"id_token": self._decode_id_token(app, text)}
        return self.get_provider().sociallogin_from_response(request, claims)

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwtkit.verify_and_decode(
                credential=id_token,
                keys_url=self.openid_config["jwks_uri"],
                issuer=settings.OIDC_ISSUER,
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
                verify_signature=True,
            )
        except (KeyError, TypeError, ValueError) as error:  # an invalid token, or an invalid list of keys
            raise OAuth2Error("the id_token can't be checked") from error
        return claims


class OidcPeople(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Decides who may log in this way, and what they may do then."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuse people who are not allowed, at each log-in."""
        claims = sociallogin.account.extra_data.get("id_token", {})
        connects = sociallogin.state.get("process") == "connect"
        if connects and request.user.is_authenticated:
            return
        if not (is_allowed(claims) or (sociallogin.is_existing and not has_rules())):
            raise ImmediateHttpResponse(refuse(request, REFUSED))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether a new person may come in: only if a rule allows it."""
        return is_allowed(sociallogin.account.extra_data.get("id_token", {}))

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: Any) -> bool:
        """A new person fills in no form."""
        return True

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """Make an account for the admin with the permissions of OIDC_STAFF_GROUP, or with none."""
        sociallogin.user.is_staff = True
        person = super().save_user(request, sociallogin, form)
        person.groups.set(Group.objects.filter(name=settings.OIDC_STAFF_GROUP or ""))
        return person

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        """Return the page on which the connection was started."""
        return reverse("mfa_index")

    def on_authentication_error(self, request: HttpRequest, provider: Any, **options: Any) -> None:
        """Show the error on the log-in page."""
        said = f"{provider.name} did not let you in, or could not be asked."
        raise ImmediateHttpResponse(refuse(request, said))

    def get_requests_session(self) -> requests.Session:
        """Return a session that asks the provider directly, without a proxy or a password of the environment."""
        session: requests.Session = super().get_requests_session()
        session.trust_env = False
        return session


def refuse(request: HttpRequest, text: str) -> HttpResponse:
    """Return a redirect to the log-in page, which shows the reason."""
    messages.error(request, text)
    return redirect("account_login")


def has_rules() -> bool:
    """Whether the settings let in people who were not connected before."""
    return bool(settings.OIDC_ALLOWED_DOMAINS or settings.OIDC_REQUIRED_GROUP)


def is_allowed(claims: dict[str, Any]) -> bool:
    """Whether the settings let in somebody with these claims: every rule that is set must hold."""
    return has_rules() and is_of_domain(claims) and is_of_group(claims)


def is_of_domain(claims: dict[str, Any]) -> bool:
    """Whether a verified e-mail address belongs to an allowed domain."""
    domain = str(claims.get("email", "")).rpartition("@")[2].lower()
    allowed = [one.lower() for one in settings.OIDC_ALLOWED_DOMAINS]
    return not allowed or (claims.get("email_verified") is True and domain in allowed)


def is_of_group(claims: dict[str, Any]) -> bool:
    """Whether the claim of groups contains the required one."""
    named = claims.get(settings.OIDC_GROUP_CLAIM) or []
    groups = [named] if isinstance(named, str) else named
    return not settings.OIDC_REQUIRED_GROUP or settings.OIDC_REQUIRED_GROUP in groups


def begin_login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Redirect to the provider. Raises Http404 if there is none."""
    return answer_by(OAuth2LoginView, request, provider_id)


def finish_login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Handle the provider's answer. Raises Http404 if there is none."""
    return answer_by(OAuth2CallbackView, request, provider_id)


def answer_by(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    """Answer with a view of allauth, for our adapter. Raises Http404."""
    try:
        adapter = OidcAdapter(request, provider_id)
        answer: HttpResponse = view.adapter_view(adapter)(request)
    except SocialApp.DoesNotExist:
        raise Http404("no such provider") from None
    except requests.RequestException:
        return refuse(request, "The provider could not be asked.")
    return answer
