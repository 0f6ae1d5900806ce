"""Hold and park: a sink that asked for a pause, and one that somebody must repair."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from eventsinks.actions import audit
from eventsinks.actions.unharmed import note
from eventsinks.destinations.base import DestinationGone, SendFailure, Temporary
from eventsinks.models import Destination, sql
from eventsinks.models.destination import DestinationState


def held_or_parked(destination_id: int, version: int, failure: SendFailure | None) -> SendFailure | None:
    """Hold or park a sink whose failure asks for it. Return the failure that its delivery is settled with.

    Where that goes wrong it is a temporary one: a sink that is not parked would be sent to again at once.
    """
    try:
        hold_or_park(destination_id, version, failure)
    except Exception as error:
        note(error, f"destination {destination_id} could not be held or parked")
        said, response = (failure.reason, failure.response) if failure else ("", None)
        reason = f"{said}; it could not be held or parked: {error!r}"
        return Temporary(reason, response, getattr(failure, "retry_after", None))
    return failure


def hold_or_park(destination_id: int, version: int, failure: SendFailure | None) -> None:
    """Hold or park a sink whose failure asks for it."""
    if isinstance(failure, DestinationGone):
        park(destination_id, version, failure.reason)
    elif isinstance(failure, Temporary) and failure.retry_after:
        hold(destination_id, failure.retry_after)


def hold(destination_id: int, seconds: float) -> None:
    """Send nothing to it for `seconds`, as the far end asked (`Retry-After`); a longer hold stays.

    Slack counts by workspace: every sink of the same one is held. They are locked in the order of their ids, so
    that no two wait for each other.
    """
    sql.rows(
        f"""UPDATE eventsinks_destination SET held_until = {sql.in_seconds()}
            WHERE id IN (
                SELECT id FROM eventsinks_destination
                WHERE id = %s OR slack_workspace_id =
                      (SELECT slack_workspace_id FROM eventsinks_destination WHERE id = %s)
                ORDER BY id {sql.locked()})
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
