"""Progress: how far the search has come in the log, and the next step of it."""

from __future__ import annotations

from django.db import models, transaction
from django.db.models import Max

from eventsinks.models.database import sql
from eventsinks.models.event import Event
from eventsinks.models.search.alert_words import Alert, write_words

AT_ONCE, AT_ONCE_ON_SQLITE = 5_000, 1_000  # ids of one transaction
SEARCHED = "detection_alert"


class SearchProgress(models.Model):
    """The only row: every alert with an id up to `indexed` has its search row.

    Ids are not committed in their order. So an id that was the last one (`seen`) counts only when all transactions
    have ended that ran then (`seen_xid` is the next of them).
    """

    indexed = models.BigIntegerField(default=0)
    settled = models.BigIntegerField(default=0)  # no event will come with an id up to this
    seen = models.BigIntegerField(default=0)
    seen_xid = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.indexed)


def count_behind() -> int:
    """Return how many ids of the log the search has not come to."""
    done = SearchProgress.objects.filter(id=1).values_list("indexed", flat=True).first() or 0
    return max(0, find_last_id() - done)


def find_last_id() -> int:
    """Return the id of the newest event."""
    return Event.objects.order_by().aggregate(last=Max("id"))["last"] or 0


def index_next() -> bool:
    """Give the next alerts of the log their search rows. Return whether there is more to do now.

    If another process is at it, this does nothing.
    """
    SearchProgress.objects.get_or_create(id=1)
    with transaction.atomic():
        progress = SearchProgress.objects.select_for_update(skip_locked=True, no_key=True).filter(id=1).first()
        if progress is None:
            return False
        look_at_end(progress)
        end = min(progress.settled, progress.indexed + (AT_ONCE if sql.is_postgresql() else AT_ONCE_ON_SQLITE))
        alerts = Event.objects.filter(id__gt=progress.indexed, id__lte=end, type=SEARCHED).exclude(title="")
        write_words(list(map(Alert._make, alerts.order_by("id").values_list(*Alert._fields))))
        progress.indexed = max(progress.indexed, end)
        progress.save()
        return progress.indexed < progress.settled


def look_at_end(progress: SearchProgress) -> None:
    """Set how far the log is settled, and where it ends now."""
    if not sql.is_postgresql():  # which has one writer at a time
        progress.settled = find_last_id()
        return
    ((least, following),) = sql.fetch_rows(
        """SELECT pg_snapshot_xmin(now_seen)::text::bigint, pg_snapshot_xmax(now_seen)::text::bigint
        FROM pg_current_snapshot() AS now_seen"""
    )
    if least >= progress.seen_xid:
        progress.settled = progress.seen
        progress.seen, progress.seen_xid = find_last_id(), following
