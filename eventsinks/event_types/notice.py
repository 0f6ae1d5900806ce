"""A notice: what this service itself tells an event sink, such as a round-up of what was held back, or a drill."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.documents import Id, moment, read


class NoticeData(BaseModel):
    """A notice, in the fields of a detection alert, so that whoever reads those can read it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Id
    tenant_id: str
    event_sink_ids: list[str]
    name: str
    description: str
    severity: str
    severity_id: int
    status: Literal["firing", "resolved"] = "firing"
    dedup_key: str
    timestamp: str
    tags: list[str]
    notice: Literal["round_up", "drill"]
    # How many alerts were held back, by what, from when to when, and the id of the last one.
    held: int = 0
    held_by: str = ""
    since: str = ""
    until: str = ""
    last_alert_id: str = ""


class Notice(EventType):
    """What the service tells of itself."""

    key: ClassVar[str] = "notice"
    label: ClassVar[str] = "Notice"
    ours: ClassVar[bool] = True
    Data: ClassVar[type[BaseModel]] = NoticeData

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one notice."""
        notice = read(raw, NoticeData)
        sinks = tuple(uuid.UUID(text) for text in notice.event_sink_ids)
        return Accepted(key=notice.id, occurred_at=moment(notice.timestamp), data=raw, routed_to=sinks)

    def summary(self, data: Mapping[str, Any], template: AlertTemplate | None = None) -> Summary:
        """Tell a notice; a template is for alerts."""
        return Summary(
            title=str(data["name"]),
            text=str(data["description"]),
            severity=str(data["severity"]),
            status=str(data["status"]),
            source="eventsinks",
            dedup_key=str(data["dedup_key"]),
            tags=tuple(data["tags"]),
            details=data,
        )
