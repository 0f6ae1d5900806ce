"""What an event type is: the shape of its data, and how it is told to a person."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import BaseModel

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.lib.budget import Budget

SEVERITIES = ("Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal", "Other")


@dataclass(frozen=True, slots=True)
class Summary:
    """An event as a person hears of it: all that chat and paging types may read.

    `severity` is one of SEVERITIES; `status` is `firing`, `acknowledged` or `resolved`; `dedup_key` is the
    same for all that is said of one incident; `facts`, `info` and `actions` are label and value, in order.
    `info` and `actions` come from an alert template. `columns` and `rows` are the first rows of what was found,
    `row_count` how many there are.
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
    """What the engine must know of an accepted event; `data` is the bytes that go on, `key` its id per tenant."""

    key: str
    occurred_at: datetime
    data: bytes
    routed_to: tuple[uuid.UUID, ...] | None = None
    held: str = ""  # why it is kept and sent nowhere, if so
    incident: str = ""  # what others say of too, if it says so itself
    status: str = "firing"  # what it says of that: `firing`, `acknowledged` or `resolved`
    marks: bool = False  # whether it may bring a template that tells its incident


class EventType(ABC):
    """One sort of event. A subclass is one file in `event_types/`."""

    key: ClassVar[str]
    label: ClassVar[str]
    Data: ClassVar[type[BaseModel]]
    # Documents of every sort that there is of it: what a destination type is tested with.
    examples: ClassVar[Sequence[Mapping[str, Any]]]
    ours: ClassVar[bool] = False  # whether the service tells it of itself: no silence or window holds it back

    @abstractmethod
    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one document. Raises NotAcceptable, which says where and why."""

    @abstractmethod
    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Tell `data`, as accepted and parsed, to a person; what is told of an alert, `template` may say.

        `budget` pays for what is rendered: one for all who are told of the same event.
        """

    def dedup_key(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> str:
        """Return what is the same for all that is said of one incident, "" where there are no incidents."""
        return ""

    def told_to_filters(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a filter may ask of `data`, by name: its own keys, and what it can rely on."""
        return data

    def indexed(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the columns that events of this type are looked for by, None if there is no table of them."""
        return None


class NotAcceptable(ValueError):
    """A document is not an event. `field` is the path of what is wrong, empty for the whole document.

    `is_json` says whether it could be read at all: as a JSON object.
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
