"""Second factors of the admin: authenticator apps, passkeys and recovery codes, by django-allauth.

Their secrets are sealed like all others. A code works once, in all processes together. A wrong code counts like a
wrong password.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core import context
from allauth.mfa import signals
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from eventsinks.actions.secrets.reset_second_factor import note_reset
from eventsinks.admin.people.lockout import count_failure, refuse_if_locked
from eventsinks.models.secrets.sealing import open_factor, seal_factor

KINDS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
FREE = ("logout", "jsi18n")  # pages of the admin that need no second factor


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Only people of the admin log in, and nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up by themselves."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Do nothing: lockout.py counts failures, and never by account alone."""

    def _rollback_login_failed_rl_usage(self) -> None:
        """Do nothing: nothing was counted."""

    def pre_login(self, request: HttpRequest, user: Any, **options: Any) -> HttpResponse | None:
        """Refuse people who may not use the admin."""
        if user.is_active and user.is_staff:
            return None
        clear_login(request)
        messages.error(request, "This account may not log in here.")
        return redirect("account_login")


class SecondFactors(DefaultMFAAdapter):  # type: ignore[misc]
    """How second factors are saved, and the host of passkeys."""

    def encrypt(self, text: str) -> str:
        """Seal a secret."""
        return seal_factor(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret. Raises lib.crypto.CannotOpen."""
        return open_factor(encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return the host of PUBLIC_URL, to which passkeys are bound."""
        return {"id": get_passkey_host(), "name": "eventsinks"}


def get_passkey_host() -> str:
    """Return the host for passkeys. Browsers make none for an IP address, so then it is `localhost`."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    try:
        ip_address(host)
    except ValueError:
        return host
    return "localhost"


class CodeIsGoodOnce:
    """A mixin for the forms that ask for a code."""

    user: Any
    cleaned_data: dict[str, Any]
    authenticator: Any

    def clean_code(self) -> str:
        """Return the code. Raises ValidationError if it is wrong or was used, or if the account is locked."""
        refuse_if_locked(context.request, self.user)
        code = cast(str, super().clean_code())  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP and not use_up(self.authenticator):
            count_failure(context.request, self.user)
            raise get_adapter().validation_error("incorrect_code")
        return code

    def _emit_authentication_failed(self, authenticator: Any) -> None:
        super()._emit_authentication_failed(authenticator)  # type: ignore[misc]
        count_failure(context.request, self.user)


class CodeForm(CodeIsGoodOnce, AuthenticateForm):  # type: ignore[misc]
    """A code, asked for after the password."""


class CodeAgainForm(CodeIsGoodOnce, ReauthenticateForm):  # type: ignore[misc]
    """A code, asked for before a second factor is changed."""


def use_up(authenticator: Any) -> bool:
    """Note that the code of this half minute was used. Return False if any process has seen it before."""
    step = datetime.fromtimestamp(int(time.time()) // 30 * 30, UTC)
    unused = Q(last_used_at=None) | Q(last_used_at__lt=step)
    return bool(Authenticator.objects.filter(unused, pk=authenticator.pk).update(last_used_at=datetime.now(UTC)))


class SecondFactor:
    """Middleware: if a second factor is required, it opens no page of the admin without one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Redirect to the page on which a second factor is added."""
        match = request.resolver_match
        if not settings.EVENTSINKS_REQUIRE_SECOND_FACTOR or match is None or match.app_name != "admin":
            return None
        if match.url_name in FREE or not request.user.is_authenticated or is_mfa_enabled(request.user, KINDS):
            return None
        messages.warning(request, "Add an authenticator app or a passkey first: nothing else opens without.")
        return redirect("mfa_index")


@receiver(signals.authenticator_added)
def note_factor_added(sender: Any, user: Any, authenticator: Any, **_: Any) -> None:
    """Note in the history that somebody added a second factor."""
    note_reset(user, user, f"Second factor added: {authenticator.get_type_display()}.")


@receiver(signals.authenticator_removed)
def note_factor_removed(sender: Any, user: Any, authenticator: Any, **_: Any) -> None:
    """Note in the history that somebody removed a second factor."""
    note_reset(authenticator.user, user, f"Second factor removed: {authenticator.get_type_display()}.")
