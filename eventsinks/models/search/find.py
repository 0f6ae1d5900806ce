"""Find: the newest alerts that have the wanted words and marks. The cost does not grow with the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsinks.event_types.columns import MAX_KEY, MAX_RULE, MAX_TAGS, write_column
from eventsinks.models.database import sql
from eventsinks.models.search.alert_words import make_mark, split_words

NEAR = 5_000  # newest alerts that PostgreSQL reads before it asks the index
MOST_WORDS = 16
LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Search:
    """What an alert must have. `words` are beginnings of words of its name, rule or tags, all of them.

    `since` and `until` are bounds of the time when it was accepted.
    """

    tenant_id: UUID | None = None
    words: str = ""
    severity: int | None = None
    status: str = ""
    rule: str = ""
    tag: str = ""
    dedup_key: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def marks(self) -> list[str]:
        """The marks of what is asked for."""
        asked = {
            "tenant": self.tenant_id.hex if self.tenant_id else "",
            "severity": "" if self.severity is None else str(self.severity),
            "status": self.status,
            "rule": write_column(self.rule, MAX_RULE),
            "tag": write_column(self.tag, MAX_TAGS),
            "dedup_key": write_column(self.dedup_key, MAX_KEY),
        }
        return [make_mark(name, value) for name, value in asked.items() if value]

    @property
    def is_needed(self) -> bool:
        """Whether it asks for more than a tenant and a time."""
        return bool(
            self.words or self.status or self.rule or self.tag or self.dedup_key or self.severity is not None
        )


def find_alerts(search: Search, most: int, before: int = LAST) -> list[int]:
    """Return the ids of at most `most` events, newest first, with ids below `before`."""
    words, marks = list(dict.fromkeys(split_words(search.words)))[:MOST_WORDS], search.marks
    if search.words.strip() and not words:
        return []
    first = find_first_id(search.since) if search.since else 0
    before = min(before, find_first_id(search.until)) if search.until else before
    if sql.is_postgresql():
        return find_on_postgresql(search.tenant_id, words, marks, (first, before), most)
    wanted = " ".join([*(f'"{word}"*' for word in words), *(f'"{mark}"' for mark in marks)])
    statement = """SELECT rowid FROM eventsinks_alertwords_fts WHERE eventsinks_alertwords_fts MATCH %s
        AND rowid >= %s AND rowid < %s ORDER BY rowid DESC LIMIT %s"""
    return [id for (id,) in sql.fetch_rows(statement, [wanted, first, before, most])]


def find_on_postgresql(
    tenant_id: UUID | None, words: Sequence[str], marks: Sequence[str], bounds: tuple[int, int], most: int
) -> list[int]:
    """Return what `find_alerts` does.

    What is common is found among the newest; only what is rare there is looked up in the index, which would give
    all that it finds, in no order.
    """
    wanted = " & ".join([*(f"'{word}':*" for word in words), *(f"'{mark}'" for mark in marks)])
    own = "AND tenant_id = %s" if tenant_id else ""
    owner = [tenant_id] if tenant_id else []
    bounded = f"FROM eventsinks_alertwords WHERE event_id >= %s AND event_id < %s {own}"
    near = sql.fetch_rows(
        f"""WITH near AS MATERIALIZED (SELECT event_id, words {bounded} ORDER BY event_id DESC LIMIT {NEAR}),
            matching AS (SELECT event_id FROM near WHERE words @@ %s::tsquery ORDER BY event_id DESC LIMIT %s)
        SELECT event_id, false FROM matching UNION ALL SELECT min(event_id), true FROM near""",
        [*bounds, *owner, wanted, most],
    )
    found = sorted((id for id, is_end in near if not is_end), reverse=True)
    end = near[-1][0]
    if len(found) == most or end is None:
        return found
    far = sql.fetch_rows(
        f"""WITH matching AS MATERIALIZED (SELECT event_id {bounded} AND words @@ %s::tsquery)
        SELECT event_id FROM matching ORDER BY event_id DESC LIMIT %s""",
        [bounds[0], end, *owner, wanted, most - len(found)],
    )
    return found + [id for (id,) in far]


def find_first_id(moment: datetime) -> int:
    """Return the id of the first event that was accepted at a moment or later, or one beyond the last event.

    Ids rise with time, so halving finds it, in one statement. An index by time would cost each event something.
    """
    before = "(SELECT received_at < %s FROM eventsinks_event WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1)"
    statement = f"""
        WITH RECURSIVE halves(low, high) AS (
            SELECT min(id), max(id) + 1 FROM eventsinks_event
            UNION ALL
            SELECT CASE WHEN {before} THEN (low + high) / 2 + 1 ELSE low END,
                   CASE WHEN {before} THEN high ELSE (low + high) / 2 END
            FROM halves WHERE low < high)
        SELECT coalesce(max(low), 0) FROM halves"""
    value: Any = moment
    if not sql.is_postgresql():  # which keeps milliseconds, as text
        value = moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds").rstrip("0")
    ((found,),) = sql.fetch_rows(statement, [value, value])
    return int(found)
