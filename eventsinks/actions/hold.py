"""Hold and park: a sink that asked for a pause, and one that somebody must repair."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.actions import audit
from eventsinks.models import Destination, sql
from eventsinks.models.destination import DestinationState


def hold(destination_id: int, seconds: float) -> None:
    """Send nothing to it for `seconds`, as the far end asked (`Retry-After`); a longer hold stays.

    Slack counts by workspace: every sink of the same one is held.
    """
    sql.rows(
        f"""UPDATE eventsinks_destination SET held_until = {sql.in_seconds()}
            WHERE (id = %s OR slack_workspace_id =
                   (SELECT slack_workspace_id FROM eventsinks_destination WHERE id = %s))
              AND (held_until IS NULL OR held_until < {sql.in_seconds()}) RETURNING id""",
        [seconds, destination_id, destination_id, seconds],
    )


def park(destination_id: int, version: int, reason: str) -> bool:
    """active -> parked, unless it was changed since `version`. Return whether it moved; its tenant is told."""
    reason = sql.clean(reason)
    active = Destination.objects.filter(id=destination_id, version=version, state=DestinationState.ACTIVE)
    with transaction.atomic():
        if not active.update(state=DestinationState.PARKED, state_reason=reason, state_since=Now()):
            return False
        parked = Destination.objects.select_related("tenant").get(id=destination_id)
        told = {"state": parked.state, "reason": reason[:1000]}
        audit.record_destination(audit.UPDATED, parked, audit.SYSTEM, told)
    return True
