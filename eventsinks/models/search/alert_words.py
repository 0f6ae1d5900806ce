"""Alert words: one narrow row beside each detection alert, with an index of its words. A chore writes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from eventsinks.models.database import sql
from eventsinks.models.database.arrays import Bigints, Texts, Uuids, fetch_bound_rows
from eventsinks.models.event import Event
from eventsinks.models.tenant import Tenant

WORD = re.compile(r"[^\W_]{1,64}")


class Words(models.TextField):  # type: ignore[type-arg]
    """Words and marks, with spaces between. On PostgreSQL a `tsvector`."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the type of the column."""
        return "tsvector" if connection.vendor == "postgresql" else super().db_type(connection)


class AlertWords(models.Model):
    """The search row of an alert, never changed. Delete it with its event: it is found by the event's id.

    PostgreSQL has a GIN index on `words`, SQLite an FTS5 table that triggers keep (migration 0033).
    """

    event = models.OneToOneField(Event, on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    noise = models.CharField(max_length=200)  # what noisy rules are counted by: its rule, or else its name
    words = Words()

    class Meta:
        verbose_name = "search row of an alert"
        verbose_name_plural = "search rows of alerts"
        indexes: ClassVar = [models.Index(fields=["tenant", "event"], name="alert_words_of_tenant")]

    def __str__(self) -> str:
        return str(self.event_id)


class Alert(NamedTuple):
    """The columns of an event that are indexed."""

    id: int
    tenant_id: UUID
    title: str
    severity: int | None
    rule: str
    status: str
    dedup_key: str
    tags: str


def write_words(alerts: Sequence[Alert]) -> None:
    """Write the search rows of these alerts, unless they are there."""
    rows = [(one.id, one.tenant_id, one.rule or one.title, " ".join(list_words(one))) for one in alerts]
    if not rows:
        return
    if not sql.is_postgresql():
        made = [
            AlertWords(event_id=id, tenant_id=tenant, noise=noise, words=words)
            for id, tenant, noise, words in rows
        ]
        AlertWords.objects.bulk_create(made, ignore_conflicts=True)
        return
    ids, tenants, noises, words = zip(*rows, strict=True)
    fetch_bound_rows(
        """INSERT INTO eventsinks_alertwords (event_id, tenant_id, noise, words)
        SELECT id, tenant_id, noise, array_to_tsvector(string_to_array(words, ' '))
        FROM unnest(%b::bigint[], %b::uuid[], %b::text[], %b::text[]) AS new(id, tenant_id, noise, words)
        ON CONFLICT DO NOTHING""",
        [Bigints(ids), Uuids(tenants), Texts(noises), Texts(words)],
    )


def list_words(alert: Alert) -> set[str]:
    """Return the words of an alert's name, rule and tags, and the marks of what filters ask for."""
    marks = {
        make_mark("tenant", alert.tenant_id.hex),
        make_mark("severity", alert.severity),
        make_mark("status", alert.status),
        *(make_mark("tag", tag) for tag in alert.tags.split("\n") if tag),
    }
    if alert.rule:
        marks.add(make_mark("rule", alert.rule))
    if alert.dedup_key:
        marks.add(make_mark("dedup_key", alert.dedup_key))
    return marks.union(split_words(f"{alert.title} {alert.rule} {alert.tags}"))


def split_words(text: str) -> list[str]:
    """Return the words of a text, in lower case. A word is letters and digits, 64 at most."""
    return WORD.findall(text.casefold())


def make_mark(name: str, value: Any) -> str:
    """Return the mark of a value. No word is like it, because it begins with an equals sign."""
    return "=" + hashlib.blake2b(f"{name}:{value}".encode(), digest_size=6).hexdigest()
