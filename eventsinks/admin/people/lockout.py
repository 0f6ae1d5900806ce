"""Lock-out: django-axes counts wrong passwords and codes in the admin, and we slow and lock guessing for a while.

There are two bounds. An account is locked for one address after a few failures, so a stranger locks out only
themselves. An address is locked after more failures, for all accounts together. An account alone is never locked.
We keep nothing that was sent: no passwords, no codes, and no name without an account, because it may be a
password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone

from eventsinks.models.secrets.fingerprint import make_fingerprint


class LogInAttempts(AxesDatabaseHandler):  # type: ignore[misc]
    """Counts failures, and says whether there were too many."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the failures of account and address, or those of the address, scaled, if they are more."""
        of_pair, of_address = (
            sum(found.values_list("failures_since_start", flat=True))
            for found in self.get_user_attempts(request, credentials)
        )
        scaled = of_address * settings.AXES_FAILURE_LIMIT // settings.EVENTSINKS_LOGIN_FAILURES_OF_ADDRESS
        return int(max(of_pair, scaled))

    def user_login_failed(self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any) -> None:
        """Count a failure, without what was sent."""
        with hide_sent(request):
            super().user_login_failed(sender, credentials, request, **kwargs)

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Delete the failures of account and address after a success. Those of the address stay.

        Otherwise somebody with one account could guess the passwords of others without end.
        """
        of_pair: QuerySet[Any] = self.filter_user_attempts(request, credentials)[0]
        return of_pair.delete()[0]


@contextmanager
def hide_sent(request: Any) -> Iterator[None]:
    """Hide what was sent from code that would save it."""
    if request is None:
        yield
        return
    kept = request.GET, request.POST
    request.GET = request.POST = QueryDict()
    try:
        yield
    finally:
        request.GET, request.POST = kept


def get_account(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the name for counting failures: the account's, or a fingerprint if there is no such account."""
    given = (credentials or {}).get("username")
    if not given:
        return None
    known = User.objects.filter(username=given).exists()
    return str(given) if known else f"no account {make_fingerprint(str(given))}"


def get_address(request: HttpRequest) -> str | None:
    """Return the address for counting failures. For IPv6 it is the network of one customer."""
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address)


def get_cool_off(request: HttpRequest | None = None) -> timedelta:
    """Return how long a lock lasts after the last counted failure."""
    return timedelta(seconds=settings.EVENTSINKS_LOGIN_LOCK_S)


def answer_locked(
    request: HttpRequest, response: Any = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Answer 429, with the seconds until another try."""
    name, address = get_account(request, credentials), get_address(request)
    last = AccessAttempt.objects.filter(Q(ip_address=address)).aggregate(Max("attempt_time"))["attempt_time__max"]
    left = (last + get_cool_off() - timezone.now()).total_seconds() if last else get_cool_off().total_seconds()
    seconds = max(1, int(left) + 1)
    context = {"title": "Too many log-ins failed", "minutes": -(-seconds // 60), "known": bool(name)}
    answer = render(request, "admin/locked.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer


def count_failure(request: HttpRequest, user: Any) -> None:
    """Count a wrong code of a second factor like a wrong password. Raises ValidationError once locked."""
    from axes.handlers.proxy import AxesProxyHandler

    credentials = {"username": user.get_username()}
    AxesProxyHandler.user_login_failed(sender=count_failure, credentials=credentials, request=request)
    if getattr(request, "axes_locked_out", False):
        raise ValidationError("Too many codes were wrong.")


def refuse_if_locked(request: HttpRequest, user: Any) -> None:
    """Raise ValidationError if the account is locked for this address, and answer with the lock's page."""
    from axes.handlers.proxy import AxesProxyHandler

    credentials = {"username": user.get_username()}
    if not AxesProxyHandler.is_allowed(request, credentials):
        request.axes_locked_out, request.axes_credentials = True, credentials  # type: ignore[attr-defined]
        raise ValidationError("Too many codes were wrong.")
