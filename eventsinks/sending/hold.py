"""Hold and park: what happens to a sink that asked for a pause, and to one that somebody must repair."""

from __future__ import annotations

import time

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from eventsinks.destinations.base import DestinationGone, SendFailure, Temporary
from eventsinks.intake import audit
from eventsinks.limits.isolation import note_harm
from eventsinks.models import Destination
from eventsinks.models.database import sql
from eventsinks.models.destination import DestinationState
from eventsinks.models.health import Trouble, begin_anew
from eventsinks.sending.postpone import PostponedWrites

DOUBTS = 3  # a destination is parked after so many refusals in a row that only a status explains,
DOUBTED_FOR = 60.0  # or at the next such refusal after so many seconds


def explain_held_or_parked(
    destination_id: int, version: int, failure: SendFailure | None, aside: PostponedWrites
) -> SendFailure | None:
    """Hold or park a sink whose failure asks for it. Return the failure to settle its delivery with.

    If another process's lock prevents the write, `aside` postpones it, and the sink rests until it is written. If
    anything else goes wrong, the failure becomes a temporary one: otherwise the sink, which is not parked, would
    get the delivery again at once.
    """
    try:
        failure = weigh_failure(destination_id, version, failure)
        if isinstance(failure, DestinationGone):
            reason = failure.reason
            aside.write(
                ("park", destination_id),
                lambda: park(destination_id, version, reason) is not None,
                rests=lambda: [destination_id],
            )
        elif isinstance(failure, Temporary) and (seconds := failure.retry_after):
            until = time.monotonic() + seconds
            aside.write(
                ("hold", destination_id),
                lambda: hold(destination_id, until - time.monotonic()),
                seconds,
                rests=lambda: find_held_together(destination_id),
            )
    except Exception as error:
        note_harm(error, f"destination {destination_id} could not be held or disabled")
        said, response = (failure.reason, failure.response) if failure else ("", None)
        reason = f"{said}; it could not be held or disabled: {error!r}"
        return Temporary(reason, response, getattr(failure, "retry_after", None))
    return failure


def weigh_failure(destination_id: int, version: int, failure: SendFailure | None) -> SendFailure | None:
    """Return the failure to act on. A DestinationGone that is not sure is a doubt, and temporary, at first.

    DOUBTS doubts in a row, or doubts for DOUBTED_FOR seconds, make it sure.
    """
    if not isinstance(failure, DestinationGone) or failure.sure or is_sure_now(destination_id, version):
        return failure
    return Temporary(failure.reason, failure.response)


def is_sure_now(destination_id: int, version: int) -> bool:
    """Add one doubt about a destination, unless it was changed since. Return whether there are enough doubts.

    A destination that another process has locked gets no doubt now.
    """
    counted = sql.fetch_rows(
        f"""UPDATE eventsinks_destination
            SET doubts = doubts + 1, doubted_since = coalesce(doubted_since, {sql.now_sql()})
            WHERE id IN (SELECT id FROM eventsinks_destination WHERE id = %s AND version = %s
                         AND state = 'active' {sql.skip_locked_sql()})
            RETURNING doubts >= %s OR doubted_since <= {sql.in_seconds_sql()}""",
        [destination_id, version, DOUBTS, -DOUBTED_FOR],
    )
    return any(enough for (enough,) in counted) or not is_active(destination_id, version)


def is_active(destination_id: int, version: int) -> bool:
    """Return whether the destination is active and still at `version`."""
    return Destination.objects.filter(id=destination_id, version=version, state=DestinationState.ACTIVE).exists()


def forget_doubts(destination_id: int) -> bool:
    """Forget the doubts about a destination that has accepted something. Return False if a lock prevented it."""
    doubted = Destination.objects.filter(id=destination_id, doubts__gt=0)
    with transaction.atomic():
        if not doubted.select_for_update(no_key=True, skip_locked=True).values_list("id"):
            return not doubted.exists()
        doubted.update(doubts=0, doubted_since=None)
    return True


def hold_or_park(destination_id: int, version: int, failure: SendFailure | None) -> bool:
    """Hold or park a destination whose failure asks for it. Return False if another's lock prevented it."""
    if isinstance(failure, DestinationGone):
        return park(destination_id, version, failure.reason) is not None
    if isinstance(failure, Temporary) and failure.retry_after:
        return hold(destination_id, failure.retry_after)
    return True


def hold(destination_id: int, seconds: float) -> bool:
    """Send nothing to the destination for `seconds`, as its service asked (`Retry-After`). A longer hold stays.

    Slack counts by workspace, so this holds every sink of the same workspace. It skips the sinks that another
    process has locked. Return whether it skipped none.
    """
    together = find_held_together(destination_id)
    marks = ", ".join(["%s"] * len(together)) or "NULL"
    held = sql.fetch_rows(
        f"""UPDATE eventsinks_destination SET held_until = {sql.later_sql(sql.in_seconds_sql(), "held_until")}
            WHERE id IN (
                SELECT id FROM eventsinks_destination WHERE id IN ({marks}) ORDER BY id {sql.skip_locked_sql()})
            RETURNING id""",
        [seconds, *together],
    )
    return len(held) == len(together)


def find_held_together(destination_id: int) -> list[int]:
    """Return the ids of the destinations that a pause of this one applies to."""
    found = sql.fetch_rows(
        """SELECT id FROM eventsinks_destination
           WHERE id = %s OR slack_workspace_id =
                 (SELECT slack_workspace_id FROM eventsinks_destination WHERE id = %s)""",
        [destination_id, destination_id],
    )
    return [id for (id,) in found]


def park(destination_id: int, version: int, reason: str) -> bool | None:
    """Move from active to parked, unless the destination was changed since `version`. Return whether it moved.

    An audit event informs the tenant. If another process has locked the destination, return None and change
    nothing.
    """
    reason = sql.clean_text(reason)
    active = Destination.objects.filter(id=destination_id, version=version, state=DestinationState.ACTIVE)
    with transaction.atomic():
        if not active.select_for_update(no_key=True, skip_locked=True).values_list("id"):
            return None if active.exists() else False
        trouble = {**begin_anew(), "trouble": Trouble.DISABLED, "trouble_reason": reason}
        trouble["trouble_since"] = Coalesce("trouble_since", Now())
        told = {"state": DestinationState.PARKED, "state_reason": reason, "state_since": Now()}
        active.update(**trouble, **told, doubts=0, doubted_since=None)
        parked = Destination.objects.select_related("tenant").get(id=destination_id)
        more = {"state": parked.state, "reason": reason[:1000]}
        audit.record_destination(audit.UPDATED, parked, audit.SYSTEM, more)
    return True
