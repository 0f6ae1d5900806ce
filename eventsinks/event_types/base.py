"""The base of event types: the shape of their data, and their summary for people."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import BaseModel

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.columns import NO_COLUMNS, Columns
from eventsinks.lib.budget import Budget

SEVERITIES = ("Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal", "Other")


@dataclass(frozen=True, slots=True)
class Summary:
    """An event for people: this is all that chat and paging types may read.

    `severity` is one of SEVERITIES. `status` is `firing`, `acknowledged` or `resolved`. `dedup_key` is the same
    for all messages about one incident. `facts`, `info` and `actions` are label and value, in order. `info` and
    `actions` come from an alert template. `columns` and `rows` are the first rows of the results, `row_count` is
    the number of all rows.
    """

    title: str
    text: str = ""
    severity: str = "Unknown"
    status: str = "firing"
    link: str = ""
    source: str = ""
    dedup_key: str = ""
    tags: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    info: tuple[tuple[str, str], ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    row_count: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the engine needs to know of an accepted event.

    `data` is the bytes to send, `key` its id in the tenant, `columns` what people find it by.
    """

    key: str
    occurred_at: datetime
    data: bytes
    routed_to: tuple[uuid.UUID, ...] | None = None
    held: str = ""  # why it is stored but not sent, if so
    incident: str = ""  # its incident, if it names one that other events share
    status: str = "firing"  # the status of that incident: `firing`, `acknowledged` or `resolved`
    marks: bool = False  # whether it may have a template that names its incident
    columns: Columns = NO_COLUMNS


class EventType(ABC):
    """One type of event. A subclass is one file in `event_types/`."""

    key: ClassVar[str]
    label: ClassVar[str]
    Data: ClassVar[type[BaseModel]]
    # Documents of every kind of this type, to test destination types with.
    examples: ClassVar[Sequence[Mapping[str, Any]]]
    ours: ClassVar[bool] = False  # whether the service sends it about itself: no silence or window holds it back

    @abstractmethod
    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one document. Raises NotAcceptable with the place and the reason."""

    @abstractmethod
    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return accepted, parsed `data` for people. For an alert, `template` may choose what it shows.

        `budget` pays for rendering: all destinations of the same event share it.
        """

    def dedup_key(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> str:
        """Return the key that all messages about one incident share, "" if this type has no incidents."""
        return ""

    def told_to_filters(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the names that a filter can use: the keys of `data`, and others that always exist."""
        return data

    def indexed(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the columns for searching events of this type, None if it has no table for that."""
        return None


class NotAcceptable(ValueError):
    """A document is not an event. `field` is the path of the error, empty for the whole document.

    `is_json` says whether the document is a JSON object at all.
    """

    def __init__(self, message: str, field: str = "", *, is_json: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.is_json = is_json


def read_epoch(nanoseconds: int) -> datetime:
    """Return the moment of a Unix time in nanoseconds, to the microsecond. Raises ValueError if out of range."""
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).replace(
            microsecond=nanoseconds % 1_000_000_000 // 1000
        )
    except (OverflowError, OSError) as error:
        raise ValueError("not a time") from error
