"""Refresh: give workspaces whose tokens expire new ones, well before that."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Q

from eventsinks.actions.slack_install import NotInstallable, app, columns, reopen
from eventsinks.lib import slack
from eventsinks.lib.crypto import CannotOpen
from eventsinks.models import SlackInstall, SlackWorkspace
from eventsinks.models.sealing import open_sealed

log = logging.getLogger(__name__)

EARLY = timedelta(hours=2)  # before a token expires; Slack's live twelve hours
LEASE = timedelta(minutes=2)  # of one refresh
AT_ONCE = 10  # refreshes of one sweep


def refresh_due() -> int:
    """Refresh what expires soon. Return how many got a new token.

    A refresh token is good once. If the process dies between Slack's answer and our commit, the new one is lost:
    the old token works until it expires, then the sinks are parked, and the app must be installed again.
    """
    now = datetime.now(UTC)
    SlackInstall.objects.filter(expires_at__lt=now).delete()
    soon = SlackWorkspace.objects.filter(expires_at__lt=now + EARLY).exclude(sealed_refresh_token="")
    free = soon.filter(Q(refresh_leased_until=None) | Q(refresh_leased_until__lt=now))
    return sum(refresh(workspace) for workspace in free.order_by("expires_at")[:AT_ONCE])


def refresh(workspace: SlackWorkspace) -> bool:
    """Give one workspace a new token, unless somebody else is at it. Return whether it has one."""
    now = datetime.now(UTC)
    same = SlackWorkspace.objects.filter(pk=workspace.pk, sealed_refresh_token=workspace.sealed_refresh_token)
    free = same.filter(Q(refresh_leased_until=None) | Q(refresh_leased_until__lt=now))
    if not free.update(refresh_leased_until=now + LEASE):
        return False
    try:
        grant = slack.refresh(app(), open_sealed(workspace.sealed_refresh_token))
    except (slack.SlackSaid, slack.Unreachable, NotInstallable, CannotOpen) as error:
        log.warning("the token of the Slack workspace %s could not be refreshed: %s", workspace.pk, error)
        return False  # looked at again when the lease is over
    with transaction.atomic():
        if same.update(**columns(grant)):
            reopen(workspace)
    return True
