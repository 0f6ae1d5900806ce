"""Quiet windows: how many alerts of a kind a sink got in a time, and how many were held back.

A window opens with the first alert that it lets through or holds back, and closes when its time is over. The next
alert of the kind opens a new window. One digest reports what a closed window held back.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from eventsinks.models.database import sql
from eventsinks.models.destination import Destination


class WindowKind(models.TextChoices):
    """The kinds of windows, in the order in which an alert passes them."""

    SILENCE = "silence", "Silence"
    DEDUP = "dedup", "Deduplication"
    GROUP = "group", "Grouping"
    THROTTLE = "throttle", "Throttle"


class WindowClaim(NamedTuple):
    """The claim of some alerts on one window: at most `limit` may pass, within `seconds` from the first."""

    destination_id: int
    kind: str
    key: str
    limit: int
    seconds: float


WindowKey = tuple[int, str, str]  # the destination, kind and key of a window
CHUNK = 100  # windows of one statement of those who enter them
AT_ONCE = 2_000  # windows of one statement of the sweep
# The columns of a window that an alert enters: those that `note` writes among them, or it would write them empty.
ENTERED = ("id", "destination_id", "kind", "key", "sent", "held", "last_event", "last_title")


class QuietWindowQuerySet(models.QuerySet["QuietWindow"]):
    """Windows and their moves, inside the transaction that accepts the alerts."""

    def enter(self, claims: Sequence[WindowClaim]) -> dict[WindowKey, QuietWindow]:
        """Return the open window of each claim, made if there is none, locked until the transaction ends.

        They are locked in the order of `claims`. Callers with several claims sort them, so that no two wait for
        each other.
        """
        ended = self.filter(closed_at=None, ends_at__lte=Now(), kind__in={claim.kind for claim in claims})
        ended.filter(
            destination_id__in={claim.destination_id for claim in claims}, key__in={claim.key for claim in claims}
        ).update(closed_at=F("ends_at"))
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(claims), CHUNK):
            rows += upsert_windows(claims[start : start + CHUNK])
        windows = [QuietWindow(**dict(zip(ENTERED, row, strict=True))) for row in rows]
        return {(window.destination_id, window.kind, window.key): window for window in windows}

    def note(self, windows: Sequence[QuietWindow]) -> None:
        """Store how many alerts passed and were held back."""
        self.bulk_update(windows, ["sent", "held", "last_event", "last_title"], batch_size=CHUNK)

    def close_ended(self) -> int:
        """Close at most AT_ONCE windows whose time is over, except locked ones. Return how many."""
        with transaction.atomic():
            ended = self.filter(closed_at=None, ends_at__lte=Now())
            return ended.filter(id__in=ended.unlocked()).update(closed_at=F("ends_at"))

    def forget_empty(self) -> int:
        """Delete at most AT_ONCE closed windows that held nothing back, and so need no digest. Return how many."""
        with transaction.atomic():
            empty = self.filter(closed_at__isnull=False, told_at=None, held=0)
            return empty.filter(id__in=empty.unlocked()).delete()[0]

    def unlocked(self) -> list[uuid.UUID]:
        """Lock at most AT_ONCE of these that no other process has locked. Return their ids."""
        return list(self.select_for_update(skip_locked=True).order_by().values_list("id", flat=True)[:AT_ONCE])

    def sinks_to_tell(self) -> list[int]:
        """Return the sinks for which digests wait."""
        waiting = "closed_at IS NOT NULL AND told_at IS NULL"
        return [
            id for (id,) in sql.fetch_rows(sql.distinct_sql("eventsinks_quietwindow", "destination_id", waiting))
        ]

    def to_tell(self) -> QuietWindowQuerySet:
        """Keep those whose digest was not sent yet."""
        return self.filter(closed_at__isnull=False, told_at=None, held__gt=0)

    def due_to_tell(self) -> QuietWindowQuerySet:
        """Keep those whose digest is due and waits for no silence."""
        return self.to_tell().filter(Q(tell_after=None) | Q(tell_after__lte=Now()))

    def stop_waiting(self) -> None:
        """End the wait for a silence: the digests are sent, or wait for another silence."""
        self.to_tell().filter(tell_after__gt=Now()).update(tell_after=None)


class QuietWindow(models.Model):
    """One window of one sink. `key` says what its alerts have in common."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    destination = models.ForeignKey(
        Destination, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=WindowKind.choices)
    key = models.CharField(max_length=64)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    sent = models.PositiveIntegerField(default=0)  # let through
    held = models.PositiveIntegerField(default=0)  # held back
    last_event = models.BigIntegerField(null=True)  # the last alert that was held back,
    last_title = models.TextField(blank=True)  # and its title
    closed_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)  # when its digest was accepted
    tell_after = models.DateTimeField(null=True)  # end of the silence that its digest waits for

    objects = QuietWindowQuerySet.as_manager()

    class Meta:
        verbose_name = "quiet window"
        verbose_name_plural = "quiet windows"
        ordering: ClassVar = ["-starts_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["destination", "kind", "key"], condition=Q(closed_at=None), name="quiet_window_open_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["ends_at"], condition=Q(closed_at=None), name="quiet_window_to_close"),
            models.Index(
                fields=["destination", "closed_at"],
                condition=Q(closed_at__isnull=False, told_at=None),
                name="quiet_window_to_tell",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} since {self.starts_at:%Y-%m-%d %H:%M:%S}"


def upsert_windows(claims: Sequence[WindowClaim]) -> list[tuple[Any, ...]]:
    """Open the windows that are not open yet. Return the columns ENTERED of each."""
    each = f"(%s, %s, %s, %s, {sql.now_sql()}, {sql.in_seconds_sql()}, 0, 0, '')"
    ids = [uuid.uuid4() for _ in claims]
    parameters = [
        value
        for id, claim in zip(ids, claims, strict=True)
        for value in (
            sql.convert_id(id),
            *(claim.destination_id, claim.kind, claim.key, claim.seconds),
        )
    ]
    return sql.fetch_rows(
        f"""INSERT INTO eventsinks_quietwindow
                (id, destination_id, kind, key, starts_at, ends_at, sent, held, last_title)
            VALUES {", ".join([each] * len(claims))}
            ON CONFLICT (destination_id, kind, key) WHERE closed_at IS NULL
            DO UPDATE SET key = excluded.key
            RETURNING {", ".join(ENTERED)}""",
        parameters,
    )
