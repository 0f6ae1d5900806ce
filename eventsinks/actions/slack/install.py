"""Install: installs our Slack app into a tenant's workspace by OAuth v2, and removes it again.

No transaction is open during a request to Slack.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError
from django.db.models.functions import Now

from eventsinks.actions import configure
from eventsinks.actions.portrait import UNREADABLE, list_differences
from eventsinks.actions.slack.state import NotInstallable as NotInstallable
from eventsinks.actions.slack.state import find_install, make_state, use_up_state
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.intake.nudge import nudge
from eventsinks.lib.net import slack
from eventsinks.lib.secrets.crypto import CannotOpen
from eventsinks.limits.quotas import take_rate
from eventsinks.limits.trials import hold_trial
from eventsinks.models import Clearing, Destination, SlackWorkspace, Tenant
from eventsinks.models.database.clock import read_database_clock
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import begin_anew
from eventsinks.models.secrets.fingerprint import make_fingerprint
from eventsinks.models.secrets.sealing import seal

log = logging.getLogger(__name__)


BEGUN = "slack_integration.begin"


class InUse(Exception):
    """Event sinks use this workspace. `names` are their names."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"used by the event sinks {', '.join(names)}" if names else "used by event sinks")
        self.names = names


def begin_installation(tenant: Tenant, initiator: Initiator = SYSTEM) -> str:
    """Begin an installation for `tenant` and return its state. Raises NotInstallable and LimitReached."""
    find_app()
    take_rate(tenant, "slack_installs_per_h")
    with transaction.atomic():
        state = make_state(tenant, initiator)
        audit.record_change(tenant, BEGUN, "slack_integration", {"platform": "slack"}, initiator)
    return state


def make_landing_url(state: str) -> str:
    """Return the URL of our page that asks, before Slack does, whether this tenant may have the workspace."""
    return f"{settings.PUBLIC_URL}/slack/install?{urlencode({'state': state})}"


def make_authorize_url(state: str) -> str:
    """Return the URL of Slack's page where a person allows the app. Raises NotInstallable."""
    return find_app().authorize_url(state)


def finish_installation(state: str, cookie: str, code: str, address: str = "") -> SlackWorkspace:
    """Finish the installation of `state` in the browser that has `cookie`, with the code from Slack.

    `address` is the browser's address, for the audit. Raises NotInstallable. Raises LimitReached if too many
    trials of the tenant run; then the state and the code stay usable.
    """
    begun = find_install(state)
    with hold_trial(begun.tenant, counted=False):
        use_up_state(state, cookie)
        initiator = Initiator(begun.initiator_id, begun.initiator_name, address=address)
        return trade_code(begun.tenant, code, initiator)


def install(tenant: Tenant, code: str, initiator: Initiator = SYSTEM) -> SlackWorkspace:
    """Exchange `code` for a token and store it. Raises NotInstallable and LimitReached."""
    take_rate(tenant, "slack_installs_per_h")
    with hold_trial(tenant, counted=False):
        return trade_code(tenant, code, initiator)


def trade_code(tenant: Tenant, code: str, initiator: Initiator) -> SlackWorkspace:
    """Exchange `code` for a token and store it. A known team gets the new token. Raises NotInstallable."""
    try:
        grant = slack.exchange_code(find_app(), code)
    except slack.SlackSaid as said:
        raise NotInstallable(str(said)) from None
    except slack.Unreachable as error:
        raise NotInstallable(f"Slack can't be asked: {error}") from None
    with transaction.atomic():
        workspace, created = SlackWorkspace.objects.get_or_create(tenant=tenant, team_id=grant.team_id)
        given = {"team_name": grant.team_name, **make_columns(grant, workspace)}
        if created:
            given["updated_at"] = workspace.created_at
        for column, value in given.items():
            setattr(workspace, column, value)
        workspace.save()
        reopen_sinks(workspace, repaired=True)
        more = {"token": make_fingerprint(grant.token), "scopes": grant.scopes}
        record_workspace(audit.CREATED if created else audit.UPDATED, workspace, initiator, more)
    nudge()
    return workspace


def keep_workspace(workspace: SlackWorkspace, initiator: Initiator) -> None:
    """Store a workspace that was entered by hand. If its token changed, configure its sinks again."""
    with transaction.atomic():
        before = SlackWorkspace.objects.select_for_update().filter(pk=workspace.pk).first()
        workspace.save()
        changed = list_differences(describe_workspace(before) if before else {}, describe_workspace(workspace))
        record_workspace(audit.UPDATED if before else audit.CREATED, workspace, initiator, changed)
        if before and before.sealed_token != workspace.sealed_token:
            for sink in workspace.destinations.filter(deleted_at=None):
                configure.change(sink, {"slack_integration_id": str(workspace.pk)}, initiator=initiator)


def describe_workspace(workspace: SlackWorkspace) -> dict[str, str]:
    """Return the fields of a workspace that the audit records."""
    try:
        token = make_fingerprint(workspace.token)
    except CannotOpen:
        token = UNREADABLE
    return {"team_id": workspace.team_id, "team_name": workspace.team_name, "token": token}


def make_columns(grant: slack.Grant, workspace: SlackWorkspace) -> dict[str, object]:
    """Return a grant as columns of a workspace. Its tokens are sealed for this row."""
    stays, refresh = grant.expires_in is None, grant.refresh_token
    return {
        "sealed_token": seal(grant.token, workspace, "sealed_token"),
        "sealed_refresh_token": seal(refresh, workspace, "sealed_refresh_token") if refresh else "",
        "expires_at": None if stays else read_database_clock() + timedelta(seconds=cast(int, grant.expires_in)),
        "scopes": grant.scopes,
        "refresh_leased_until": None,
        "updated_at": Now(),
    }


def reopen_sinks(workspace: SlackWorkspace, repaired: bool = False) -> None:
    """Make workers use the new token. If `repaired`, parked sinks become active or resuming."""
    sinks = Destination.objects.present().filter(slack_workspace=workspace)
    sinks.update(version=F("version") + 1)
    if repaired:
        parked = sinks.filter(state=DestinationState.PARKED)
        again = {"state_reason": "", "state_since": Now(), **begin_anew()}
        busy = Clearing.objects.running().values("destination_id")
        parked.filter(id__in=busy).update(state=DestinationState.RESUMING, **again)
        parked.update(state=DestinationState.ACTIVE, **again)


def uninstall(workspace: SlackWorkspace, initiator: Initiator = SYSTEM) -> None:
    """Delete a workspace and its token. Ask Slack to revoke the token, but only log errors. Raises InUse."""
    sinks = Destination.objects.filter(slack_workspace=workspace)
    names = list(sinks.present().order_by("id").values_list("name", flat=True)[:20])
    if names:
        raise InUse(names)
    try:
        token = workspace.token
    except CannotOpen:
        token = ""
    try:
        with transaction.atomic():
            sinks.exclude(deleted_at=None).update(slack_workspace=None)
            record_workspace(audit.DELETED, workspace, initiator)
            workspace.delete()
    except (ProtectedError, IntegrityError):  # a sink was created meanwhile
        raise InUse([]) from None
    try:
        if token:
            slack.revoke_token(settings.SLACK_BASE_URL, token)
    except (slack.SlackSaid, slack.Unreachable) as error:
        log.warning("a token could not be revoked: %s", error)


def record_workspace(
    activity_code: str, workspace: SlackWorkspace, initiator: Initiator, more: Mapping[str, str] | None = None
) -> None:
    """Record a change of a workspace. `more` adds details."""
    meta = {"platform": "slack", "name": workspace.team_name, **(more or {})}
    audit.record_change(workspace.tenant, activity_code, f"slack_integration:{workspace.pk}", meta, initiator)


def find_app() -> slack.App:
    """Return our Slack app from the settings. Raises NotInstallable if there is none."""
    if not settings.SLACK_CLIENT_ID or not settings.SLACK_CLIENT_SECRET:
        raise NotInstallable("this server has no Slack app: SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not set")
    return slack.App(
        settings.SLACK_BASE_URL,
        settings.SLACK_CLIENT_ID,
        settings.SLACK_CLIENT_SECRET,
        f"{settings.PUBLIC_URL}/slack/oauth/callback",
    )
