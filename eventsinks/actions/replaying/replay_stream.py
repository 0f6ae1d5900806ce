"""Replay stream: sends an integration events again that it got before.

The position stays. A second, temporary position goes through the stretch, and its batches alternate with those of
new events. So nothing is skipped, nothing after the stretch is sent twice, and neither waits for the other.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from eventsinks.actions.configure import wake_destination
from eventsinks.actions.replaying.kept import check_kept
from eventsinks.event_types.documents import write_time
from eventsinks.intake import audit
from eventsinks.intake.audit import SYSTEM, Initiator
from eventsinks.limits.quotas import hold_room, take_rate
from eventsinks.models import Destination, Position
from eventsinks.models.stream import find_end_of_moment, find_moment_of_log


class StreamReplayUnderWay(Exception):
    """Another replay of this integration has not ended yet."""


def replay_stream(
    destination: Destination, since: datetime, until: datetime | None = None, initiator: Initiator = SYSTEM
) -> bool:
    """Send again what was received from `since` to `until`, both included, but not past the stream's position.

    Return False if nothing of it was sent before: the stream sends it anyway. What was expunged, or is older than
    what is kept, is not sent. Raises NotKept if all of it is, StreamReplayUnderWay and LimitReached.
    """
    if until is not None:
        check_kept(destination.tenant, until)
    tenant_id, place = destination.tenant_id, Position.objects.get(destination=destination).place
    start = min(find_moment_of_log(tenant_id, since), place)
    end = place if until is None else min(find_end_of_moment(tenant_id, until), place)
    if start >= end:
        return False
    asked = {"replay_since": write_time(since), "replay_until": write_time(until) if until else ""}
    take_rate(destination.tenant, "replays_per_h")
    with transaction.atomic():
        hold_room(destination.tenant, "replays_at_once")
        if not Position.objects.replay(destination.id, start, end):
            raise StreamReplayUnderWay
        audit.record_destination(audit.UPDATED, destination, initiator, {k: v for k, v in asked.items() if v})
        wake_destination(destination)
    return True


def stop_replay(destination: Destination, initiator: Initiator = SYSTEM) -> bool:
    """Stop the replay after what was sent by now. Return False if none was running."""
    with transaction.atomic():
        if not Position.objects.stop_replay(destination.id):
            return False
        audit.record_destination(audit.UPDATED, destination, initiator, {"replay": "stopped"})
    return True
