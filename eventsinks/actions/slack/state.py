"""The state of an installation at Slack: signed, good once and for ten minutes, in one browser alone.

Whoever begins an installation holds its state, and may send it to somebody else. So it installs nothing until the
browser that comes back from Slack shows the cookie that it was given when its person said yes to this tenant.
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
    """It can't be installed, and the message says why: to a person, without a secret."""


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
    """Return the installation that `state` stands for, and leave it usable. Raises NotInstallable."""
    begun = SlackInstall.objects.select_related("tenant").filter(id=read_id(state), expires_at__gt=Now()).first()
    if begun is None:
        raise NotInstallable(OVER)
    return begun


def use_up_state(state: str, cookie: str) -> SlackInstall:
    """Return the installation that `state` stands for, which is used up with that. Raises NotInstallable.

    Another browser than the one that has the `cookie` uses nothing up.
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
    """Return the arguments of `set_cookie` for the browser whose person said yes. Raises NotInstallable."""
    return {
        "key": get_cookie_name(),
        "value": make_signer("browser").sign(str(read_id(state))),
        "max_age": GOOD_FOR,
        "secure": settings.SESSION_COOKIE_SECURE,
        "httponly": True,
        "samesite": "Lax",
    }


def get_cookie_name() -> str:
    """Return the cookie's name; behind TLS no other host of the domain can set one of this name."""
    return "__Host-slack_install" if settings.SESSION_COOKIE_SECURE else "slack_install"


def read_id(state: str) -> UUID:
    """Return the id that a state names; its row says whether it is over. Raises NotInstallable."""
    try:
        return UUID(make_signer("state").unsign(state))
    except (BadSignature, ValueError):
        raise NotInstallable(OVER) from None


def make_signer(what: str) -> Signer:
    """Return what signs states, or what marks browsers, and nothing else."""
    return Signer(salt=f"eventsinks.slack_install.{what}")
