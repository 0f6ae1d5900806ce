"""Events: what happened, stored as accepted and never changed; for each tenant, a log in the order of `id`."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import connection, models
from django.db.models import Func
from django.db.models.functions import Now

from eventsinks.event_types import EVENT_TYPES, EventType, event_type
from eventsinks.event_types.base import Summary
from eventsinks.event_types.documents import parse_accepted
from eventsinks.models.database import sql
from eventsinks.models.tenant import Tenant


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
    # The transaction that wrote it: readers of the log take only transactions older than every running one.
    xid = models.BigIntegerField(db_default=CurrentTransaction())

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
        ]

    def __str__(self) -> str:
        return self.key

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
        return known.summary(self.document) if known else Summary(title=self.type)


def make_digest(data: bytes) -> bytes:
    """Return the 16 bytes that distinguish one content from another."""
    return hashlib.blake2b(data, digest_size=16).digest()


WANTED_ON_SQLITE = "(SELECT value AS key FROM json_each(%s)) AS wanted"
# The columns that we write; the database adds the others.
WRITTEN = ("tenant_id", "type", "key", "data", "digest", "occurred_at", "owed")


def insert_new(events: Sequence[Event]) -> list[Event]:
    """Write the events whose keys are free. Return them in their order, with the values from the database.

    The unique constraint decides: if another transaction is writing a key, this waits for its end. No two of
    `events` may have the same key.
    """
    by_column = {field.column: field for field in Event._meta.concrete_fields}
    fields = [by_column[column] for column in WRITTEN]
    at_once = connection.ops.bulk_batch_size(fields, list(events)) if events else 1
    given: dict[str, Event] = {}
    for start in range(0, len(events), at_once):
        some = events[start : start + at_once]
        row = f"({', '.join(['%s'] * len(WRITTEN))})"
        statement = f"""INSERT INTO "eventsinks_event" ({", ".join(WRITTEN)}) VALUES {", ".join([row] * len(some))}
            ON CONFLICT (tenant_id, type, key) DO NOTHING RETURNING id, key, received_at"""
        values = [
            field.get_db_prep_save(getattr(event, column), connection)
            for event in some
            for column, field in zip(WRITTEN, fields, strict=True)
        ]
        given |= {written.key: written for written in Event.objects.raw(statement, values)}
    new = [event for event in events if event.key in given]
    for event in new:
        event.id, event.received_at = given[event.key].id, given[event.key].received_at
    return new


def find_digests(tenant_id: uuid.UUID, type: str, keys: Sequence[str]) -> dict[str, bytes]:
    """Return the digests of the events with these keys, if they exist.

    This looks up each key separately. With a list of keys, in a table that was never analysed, both databases
    would read all events of the tenant.
    """
    wanted = "unnest(%s::text[]) AS wanted(key)" if sql.is_postgresql() else WANTED_ON_SQLITE
    statement = f"""
        SELECT wanted.key, (
            SELECT digest FROM eventsinks_event WHERE tenant_id = %s AND type = %s AND key = wanted.key)
        FROM {wanted}"""
    tenant, texts = (tenant_id, list(keys)) if sql.is_postgresql() else (tenant_id.hex, json.dumps(list(keys)))
    found = sql.fetch_rows(statement, [tenant, type, texts])
    return {key: bytes(digest) for key, digest in found if digest is not None}
