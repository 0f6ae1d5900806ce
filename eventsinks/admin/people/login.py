"""Logging in to the admin: the pages of django-allauth that we use, and none of its others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as account
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from eventsinks.admin.people import oidc
from eventsinks.admin.people.second_factor import get_passkey_host
from eventsinks.content_security import ADMIN, HEADER

View = Callable[..., HttpResponse]


class LoginForm(AllauthLoginForm):  # type: ignore[misc]
    """Name and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget = UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "username", "autofocus": ""}
        )
        self.fields["password"].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"})
        self.fields["password"].help_text = ""


def show_login(request: HttpRequest) -> HttpResponse:
    """Show the log-in page. A logged-in person who may not use the admin is asked again."""
    if request.user.is_authenticated and not admin.site.has_permission(request):
        logout(request)
    answer: HttpResponse = account.login(request)
    return answer


def add_chrome(request: HttpRequest) -> dict[str, Any]:
    """Return what every page of the admin shows, for the templates of the pages below. A context processor."""
    if not getattr(request, "is_of_the_admin", False):
        return {}
    return {
        **admin.site.each_context(request),
        "oidc_name": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
        "passkey_host": get_passkey_host(),
        "passkeys_work": request.get_host().partition(":")[0] == get_passkey_host(),
    }


def wrap_view(view: View) -> View:
    """Return a view in the admin's design, under its policy, and never cached."""

    @wraps(view)
    def dressed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        request.is_of_the_admin = True  # type: ignore[attr-defined]
        response = never_cache(view)(request, *args, **kwargs)
        response.headers.setdefault(HEADER, ADMIN)
        return response

    return dressed


def make_page(address: str, view: Any, name: str) -> URLPattern:
    """Return one page. Its name is the one that allauth looks for."""
    return path(f"admin/{address}", wrap_view(view), name=name)


urlpatterns = [
    make_page("login/", show_login, "account_login"),
    make_page("account/leave/", require_POST(account.logout), "account_logout"),
    make_page("account/password-again/", account.reauthenticate, "account_reauthenticate"),
    make_page("account/oidc/<str:provider_id>/", oidc.begin_login, "openid_connect_login"),
    make_page("account/oidc/<str:provider_id>/callback/", oidc.finish_login, "openid_connect_callback"),
    make_page("account/", factors.index, "mfa_index"),
    make_page("account/code/", factors.authenticate, "mfa_authenticate"),
    make_page("account/code-again/", factors.reauthenticate, "mfa_reauthenticate"),
    make_page("account/app/add/", totp.activate_totp, "mfa_activate_totp"),
    make_page("account/app/remove/", totp.deactivate_totp, "mfa_deactivate_totp"),
    make_page("account/recovery/", recovery.view_recovery_codes, "mfa_view_recovery_codes"),
    make_page("account/recovery/new/", recovery.generate_recovery_codes, "mfa_generate_recovery_codes"),
    make_page("account/recovery/download/", recovery.download_recovery_codes, "mfa_download_recovery_codes"),
    make_page("account/passkeys/", passkeys.list_webauthn, "mfa_list_webauthn"),
    make_page("account/passkeys/add/", passkeys.add_webauthn, "mfa_add_webauthn"),
    make_page("account/passkeys/again/", passkeys.reauthenticate_webauthn, "mfa_reauthenticate_webauthn"),
    make_page("account/passkeys/log-in/", passkeys.login_webauthn, "mfa_login_webauthn"),
    make_page("account/passkeys/<int:pk>/remove/", passkeys.remove_webauthn, "mfa_remove_webauthn"),
    make_page("account/passkeys/<int:pk>/edit/", passkeys.edit_webauthn, "mfa_edit_webauthn"),
]
