"""State: the signed state of a Slack installation. It works once, for ten minutes, and in one browser only.

The person who begins an installation has its state, and could send it to somebody else. So nothing is installed
until the browser that comes back from Slack shows a cookie. The browser got it when its person agreed to this
tenant.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models.functions import Now

from eventsinks.intake.audit import Initiator
from eventsinks.models import SlackInstall, Tenant
from eventsinks.models.database.clock import read_database_clock

GOOD_FOR = 600  # seconds from the start of an installation to its end
OVER = "this link was used already, or is older than ten minutes; begin the installation again"
ELSEWHERE = "it was not begun in this browser; begin the installation again, and go through all of it here"


class NotInstallable(Exception):
    """The app can't be installed. The message tells a person why, and contains no secret."""


def make_state(tenant: Tenant, initiator: Initiator) -> str:
    """Begin an installation and return its state."""
    begun = SlackInstall.objects.create(
        tenant=tenant,
        initiator_id=initiator.id[:64],
        initiator_name=initiator.name[:200],
        expires_at=read_database_clock() + timedelta(seconds=GOOD_FOR),
    )
    return make_signer("state").sign(str(begun.id))


def find_install(state: str) -> SlackInstall:
    """Return the installation of `state`, which stays usable. Raises NotInstallable."""
    begun = SlackInstall.objects.select_related("tenant").filter(id=read_id(state), expires_at__gt=Now()).first()
    if begun is None:
        raise NotInstallable(OVER)
    return begun


def use_up_state(state: str, cookie: str) -> SlackInstall:
    """Return the installation of `state`, and use the state up. Raises NotInstallable.

    A browser without the right `cookie` uses nothing up.
    """
    begun = find_install(state)
    try:
        same = make_signer("browser").unsign(cookie) == str(begun.id)
    except BadSignature:
        same = False
    if not same:
        raise NotInstallable(ELSEWHERE)
    if not SlackInstall.objects.filter(id=begun.id, expires_at__gt=Now()).delete()[0]:
        raise NotInstallable(OVER)
    return begun


def make_cookie(state: str) -> dict[str, Any]:
    """Return the arguments of `set_cookie` for the browser whose person agreed. Raises NotInstallable."""
    return {
        "key": get_cookie_name(),
        "value": make_signer("browser").sign(str(read_id(state))),
        "max_age": GOOD_FOR,
        "secure": settings.SESSION_COOKIE_SECURE,
        "httponly": True,
        "samesite": "Lax",
    }


def get_cookie_name() -> str:
    """Return the cookie's name. Behind TLS, no other host of the domain can set a cookie with this name."""
    return "__Host-slack_install" if settings.SESSION_COOKIE_SECURE else "slack_install"


def read_id(state: str) -> UUID:
    """Return the id in a state. Its row tells whether it has expired. Raises NotInstallable."""
    try:
        return UUID(make_signer("state").unsign(state))
    except (BadSignature, ValueError):
        raise NotInstallable(OVER) from None


def make_signer(what: str) -> Signer:
    """Return a signer for states, or one for browsers. Neither accepts the other's signatures."""
    return Signer(salt=f"eventsinks.slack_install.{what}")
