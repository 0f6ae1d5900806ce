"""Slack tokens: gets new tokens for Slack workspaces, well before the old ones expire."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import OperationalError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from eventsinks.actions.slack.install import NotInstallable, find_app, make_columns, reopen_sinks
from eventsinks.lib.net import slack
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.limits.isolation import do_each, isolate
from eventsinks.models import SlackInstall, SlackWorkspace
from eventsinks.models.database import sql

log = logging.getLogger(__name__)

EARLY = timedelta(hours=2)  # before a token expires; Slack's tokens live twelve hours
LEASE = timedelta(minutes=2)  # of one refresh
KEEP_TRYING = 60.0  # seconds to try to write a new token past a lock; shorter than the lease
AT_ONCE = 10  # refreshes of one sweep


def refresh_due_tokens() -> int:
    """Refresh the tokens that expire soon. Return how many workspaces got a new token.

    A refresh token works once. If the process dies between Slack's answer and our commit, the new token is lost.
    The old token works until it expires; then the sinks are parked, and the app must be installed again.
    """
    with isolate("what was begun and is over is still there"):
        over = SlackInstall.objects.filter(expires_at__lt=Now()).values_list("pk", flat=True)
        SlackInstall.objects.filter(pk__in=list(over[:1000])).delete()
    soon = SlackWorkspace.objects.filter(expires_at__lt=Now() + EARLY).exclude(sealed_refresh_token="")
    free = soon.filter(Q(refresh_leased_until=None) | Q(refresh_leased_until__lt=Now()))
    return do_each(free.order_by("expires_at")[:AT_ONCE], refresh_token)


def refresh_token(workspace: SlackWorkspace) -> bool:
    """Get one workspace a new token, unless another process is doing it. Return whether it got one."""
    same = SlackWorkspace.objects.filter(pk=workspace.pk, sealed_refresh_token=workspace.sealed_refresh_token)
    free = same.filter(Q(refresh_leased_until=None) | Q(refresh_leased_until__lt=Now()))
    with transaction.atomic():
        unlocked = free.select_for_update(skip_locked=True).values_list("id")
        if not unlocked or not free.update(refresh_leased_until=Now() + LEASE):
            return False
    try:
        grant = slack.exchange_refresh_token(find_app(), workspace.refresh_token)
    except (slack.SlackSaid, slack.Unreachable, NotInstallable, CannotOpen) as error:
        log.warning("the token of the Slack workspace %s could not be refreshed: %s", workspace.pk, error)
        return False  # tried again after the lease
    until = time.monotonic() + KEEP_TRYING
    while True:
        try:
            with transaction.atomic():
                if same.update(**make_columns(grant, workspace)):
                    reopen_sinks(workspace)
        except OperationalError as error:  # the old refresh token is used up: a lock must not lose the new one
            if not sql.is_locked(error) or time.monotonic() > until:
                raise
            time.sleep(1.0)
        else:
            return True
