"""Positions: one row for each integration. It says how far the integration has come in its tenant's event log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Self

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from eventsinks.models.database import sql
from eventsinks.models.destination import Destination
from eventsinks.models.stream.batch import Batch, BatchState, LogPlace
from eventsinks.models.tenant import Tenant

REPLAYED = dict.fromkeys(("replay_xid", "replay_event_id", "until_xid", "until_event_id"))


class PositionQuerySet(models.QuerySet["Position"]):
    """Positions and the moves of a stream. Each move is one guarded UPDATE that counts its rows."""

    def lease(self, destination_id: int, seconds: float) -> Position | None:
        """Lease a due integration for `seconds`. Return its position, None if it can't be leased.

        An integration that another process has locked can't be leased: waiting for it would block a thread.
        """
        lease = uuid.uuid4()
        active = f"""EXISTS (SELECT 1 FROM eventsinks_destination
            WHERE id = destination_id AND state = 'active' AND deleted_at IS NULL
              AND (held_until IS NULL OR held_until <= {sql.now_sql()}))"""
        moved = sql.fetch_rows(
            f"""UPDATE eventsinks_position SET lease = %s, due_at = {sql.in_seconds_sql()}
                WHERE destination_id = (
                    SELECT destination_id FROM eventsinks_position
                    WHERE destination_id = %s AND due_at <= {sql.now_sql()} {sql.skip_locked_sql()}) AND {active}
                RETURNING destination_id""",
            [lease if sql.is_postgresql() else lease.hex, seconds, destination_id],
        )
        if not moved:
            return None
        leased = self.select_related("destination__tenant", "destination__slack_workspace")
        return leased.filter(destination_id=destination_id, lease=lease).first()  # None: moved meanwhile

    def held(self, position: Position) -> PositionQuerySet:
        """Keep the row only if the lease is still ours."""
        return self.filter(destination_id=position.destination_id, lease=position.lease)

    def renew(self, position: Position, seconds: float) -> bool:
        """Extend the lease to `seconds` from now. Return whether it is still ours."""
        lease = position.lease if sql.is_postgresql() else str(position.lease.hex if position.lease else "")
        return bool(
            sql.fetch_rows(
                f"""UPDATE eventsinks_position SET due_at = {sql.in_seconds_sql()}
                    WHERE destination_id = %s AND lease = %s RETURNING destination_id""",
                [seconds, position.destination_id, lease],
            )
        )

    def release(self, position: Position, pause: float = 0.0) -> bool:
        """Release the integration; it is due again in `pause` seconds."""
        lease = position.lease if sql.is_postgresql() else str(position.lease.hex if position.lease else "")
        return bool(
            sql.fetch_rows(
                f"""UPDATE eventsinks_position SET lease = NULL, due_at = {sql.in_seconds_sql()}
                    WHERE destination_id = %s AND lease = %s RETURNING destination_id""",
                [pause, position.destination_id, lease],
            )
        )

    def move(self, destination_id: int, place: LogPlace) -> None:
        """Move an integration to another place in the log, to backfill or to skip a backlog.

        This gives up the open batch and the replay, if any. A worker that holds the lease loses it and settles
        nothing. (To send events again, use `replay`, which does not move the position.)
        """
        with transaction.atomic():  # position first, as in all code that writes both: no deadlock, no new batch
            self.filter(destination_id=destination_id).update(
                xid=place.xid, event_id=place.event_id, lease=None, due_at=Now(), **REPLAYED
            )
            Batch.objects.filter(destination_id=destination_id, state=BatchState.OPEN).update(
                state=BatchState.SPLIT, settled_at=Now(), reason="the position was moved"
            )

    def replaying(self, tenant: Tenant) -> Self:
        """Keep a tenant's integrations that have a running replay."""
        present = self.filter(destination__tenant=tenant, destination__deleted_at=None)
        return present.exclude(replay_xid=None)

    def replay(self, destination_id: int, since: LogPlace, until: LogPlace) -> bool:
        """Send again the events after `since`, up to `until`. Return False if another replay is running."""
        free = self.filter(destination_id=destination_id, replay_xid=None)
        return bool(
            free.update(
                replay_xid=since.xid,
                replay_event_id=since.event_id,
                until_xid=until.xid,
                until_event_id=until.event_id,
            )
        )

    def stop_replay(self, destination_id: int) -> bool:
        """Stop the replay. Return False if none was running."""
        under_way = self.filter(destination_id=destination_id).exclude(replay_xid=None)
        return bool(under_way.update(**REPLAYED))

    def end_replay(self, position: Position) -> None:
        """Record that the replay is complete."""
        self.held(position).update(**REPLAYED)
        position.replay_xid = position.replay_event_id = None

    def skip_replay(self, position: Position, place: LogPlace) -> None:
        """Move the replay past events that are not for this integration."""
        self.held(position).exclude(replay_xid=None).update(replay_xid=place.xid, replay_event_id=place.event_id)
        position.replay_xid, position.replay_event_id = place

    def goes_on(self, position: Position) -> None:
        """Record that an event was accepted: earlier refusals are not the destination's fault."""
        self.held(position).update(refused_in_a_row=0, stands_since=None)
        position.refused_in_a_row = 0

    def wake(self, destination_id: int) -> None:
        """End the pause after a failure, if there is one: somebody has repaired the integration."""
        self.filter(destination_id=destination_id, lease=None).update(due_at=Now())

    def skip(self, position: Position, place: LogPlace) -> None:
        """Move past events that are not for this integration."""
        if place > position.place:
            self.held(position).update(xid=place.xid, event_id=place.event_id)
            position.xid, position.event_id = place


class Position(models.Model):
    """How far an integration has come in its tenant's event log."""

    destination = models.OneToOneField(
        Destination, on_delete=models.CASCADE, primary_key=True, related_name="position"
    )
    xid = models.BigIntegerField(default=0)
    event_id = models.BigIntegerField(default=0)
    next_number = models.BigIntegerField(default=1)  # of the next batch
    lease = models.UUIDField(null=True)
    due_at = models.DateTimeField(db_default=Now())  # not before; while it is leased, the end of the lease
    sent_at = models.DateTimeField(null=True)  # when it last moved forward
    sent_events = models.BigIntegerField(default=0)  # accepted events; a repeated one counts again
    refused_in_a_row = models.PositiveIntegerField(db_default=0, default=0)  # events, none accepted between them
    stands_since = models.DateTimeField(null=True)  # time of the first failed try after the last success
    # A second, temporary position: sent events are sent again from here up to `until`.
    replay_xid = models.BigIntegerField(null=True)
    replay_event_id = models.BigIntegerField(null=True)
    until_xid = models.BigIntegerField(null=True)
    until_event_id = models.BigIntegerField(null=True)
    manifest_number = models.BigIntegerField(default=0)  # of the last batch that a manifest lists

    objects = PositionQuerySet.as_manager()

    class Meta:
        verbose_name = "position"
        verbose_name_plural = "positions"

    def __str__(self) -> str:
        return f"{self.destination_id} at {self.event_id}"

    @property
    def place(self) -> LogPlace:
        """The place where it is now."""
        return LogPlace(self.xid, self.event_id)

    def open_batch(self) -> Batch | None:
        """Return the batch that is not settled yet."""
        return Batch.objects.filter(destination_id=self.destination_id, state=BatchState.OPEN).first()

    @property
    def replay(self) -> LogPlace | None:
        """The place that the replay has reached, None if there is no replay."""
        if self.replay_xid is None or self.replay_event_id is None:
            return None
        return LogPlace(self.replay_xid, self.replay_event_id)

    @property
    def until(self) -> LogPlace:
        """The place where the replay ends."""
        return LogPlace(self.until_xid or 0, self.until_event_id or 0)

    def save_members(self, members: Sequence[int], rest: Sequence[int], place: LogPlace) -> Batch | None:
        """Save a batch of `members`, before anything is sent. None where the lease was lost.

        Once `rest` is sent too, everything up to `place` is accounted for.
        """
        with transaction.atomic():
            held = Position.objects.held(self)
            if not held.update(next_number=F("next_number") + 1):
                return None
            return Batch.objects.create(
                destination_id=self.destination_id,
                number=held.values_list("next_number", flat=True)[0] - 1,
                members=list(members),
                rest=list(rest),
                count=len(members),
                first_event=members[0],
                last_event=place.event_id,
                last_xid=place.xid,
            )
