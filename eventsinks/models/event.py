"""Events: what happened, stored as accepted and never changed; for each tenant, a log in the order of `id`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now

from eventsinks.event_types import EVENT_TYPES, EventType, event_type
from eventsinks.event_types.base import Summary
from eventsinks.event_types.columns import MAX_KEY, MAX_RULE, MAX_TITLE, write_column
from eventsinks.event_types.documents import parse_accepted, read_text
from eventsinks.event_types.severities import SEVERITY_IDS, SEVERITY_NUMBERS
from eventsinks.models.tenant import Tenant

GONE = b"{}"  # the data of an expunged event


class CurrentTransaction(Func):
    """The id of the running transaction on PostgreSQL; 0 on SQLite, where writers are serial."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Return a constant."""
        return self.as_sql(compiler, connection, template="0", **extra)


class Event(models.Model):
    """Something that happened. `data` is the bytes that were accepted and are sent on."""

    id = models.BigAutoField(primary_key=True)
    # No constraint: a tenant with events is never deleted, and each check would cost a look-up.
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    type = models.CharField(max_length=32, choices=[(key, found.label) for key, found in EVENT_TYPES.items()])
    key = models.CharField(max_length=255)  # the sender's id of the event: unique per tenant and type
    data = models.BinaryField()
    digest = models.BinaryField(max_length=16)  # of the received data: distinguishes a duplicate from a conflict
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now())
    owed = models.PositiveIntegerField(db_default=0)  # how many deliveries it has, including suppressed ones
    # What people look for it by, from event_types/columns.py. Events from before migration 0033 have none of it.
    title = models.CharField(max_length=MAX_TITLE, db_default="")
    severity = models.SmallIntegerField(null=True)  # as in event_types/severities.py
    rule = models.CharField(max_length=MAX_RULE, db_default="")
    status = models.CharField(max_length=12, db_default="")
    dedup_key = models.CharField(max_length=MAX_KEY, db_default="")
    tags = models.TextField(db_default="")  # one a line
    # The transaction that wrote it: readers of the log take only transactions older than every running one.
    xid = models.BigIntegerField(db_default=CurrentTransaction())
    expunged_at = models.DateTimeField(null=True)  # its data was taken away then: `data` is GONE

    class Meta:
        verbose_name = "event"
        verbose_name_plural = "events"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "type", "key"], name="event_key_once_per_tenant")
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "type", "id"], name="event_of_type"),
            models.Index(fields=["tenant", "xid", "id"], name="event_log"),  # what streams read
            models.Index(fields=["id"], condition=Q(expunged_at__isnull=False), name="event_expunged"),  # few
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What people call it: its title, or its id if it has none."""
        return self.title or self.key

    @property
    def severity_name(self) -> str:
        """Its severity in words, "" if its type has none."""
        return "" if self.severity is None else SEVERITY_IDS.get(self.severity, "Unknown")

    @property
    def event_type(self) -> EventType:
        """The event type."""
        return event_type(self.type)

    @property
    def document(self) -> Any:
        """The parsed data."""
        return parse_accepted(bytes(self.data))

    @property
    def summary(self) -> Summary:
        """The event as a person reads it. If only a newer version knows its type, this is only the type's key."""
        known = EVENT_TYPES.get(self.type)
        if self.expunged_at:
            return Summary(title=f"(expunged {known.label.lower() if known else self.type})")
        return known.summary(self.document) if known else Summary(title=self.type)


def fill_columns(events: Sequence[Event]) -> None:
    """Give the events of one page that have no title the columns that their documents tell. Nothing is written.

    Such events are older than the columns, or flows, for which no title is written.
    """
    unnamed = [event for event in events if not event.title]
    rows = Event.objects.filter(pk__in={event.pk for event in unnamed}) if unnamed else []
    documents = {row.pk: row for row in rows}
    for event in unnamed:
        if (row := documents.get(event.pk)) is None or row.type not in EVENT_TYPES:
            continue
        told = row.summary
        event.title = write_column(told.title, MAX_TITLE)
        if event.type == "detection_alert":
            event.severity, event.status = SEVERITY_NUMBERS.get(told.severity), told.status
            event.rule = write_column(read_text(row.document, "detection_rule_id"), MAX_RULE)


def make_digest(data: bytes) -> bytes:
    """Return the 16 bytes that distinguish one content from another."""
    return hashlib.blake2b(data, digest_size=16).digest()
