"""Notices: messages of this service to one event sink, such as a digest or a heartbeat test."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.documents import Id, read_document, read_moment
from eventsinks.lib.budget import Budget


class NoticeData(BaseModel):
    """A notice, in the fields of a detection alert, so that whoever reads those can read it.

    What is not said has its default also where a notice is told.
    """

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
    # The number of alerts held back, by what, from when to when, and the id of the last one.
    held: int = 0
    held_by: str = ""
    since: str = ""
    until: str = ""
    last_alert_id: str = ""


EXAMPLE: Mapping[str, Any] = {
    "id": "notice-1",
    "tenant_id": "00000000-0000-0000-0000-000000000000",
    "event_sink_ids": [],
    "description": "Nothing has happened.",
    "severity": "Informational",
    "severity_id": 1,
    "dedup_key": "notice-1",
    "timestamp": "2026-05-04T09:30:00Z",
}


class Notice(EventType):
    """A message of the service about itself."""

    key: ClassVar[str] = "notice"
    label: ClassVar[str] = "Notice"
    ours: ClassVar[bool] = True
    Data: ClassVar[type[BaseModel]] = NoticeData
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            **EXAMPLE,
            "name": "+37 like this, 12:00–12:10 UTC, last: Root login",
            "description": "37 held back by the throttle; 1 sent.",
            "notice": "round_up",
            "tags": ["round_up"],
            "held": 37,
            "held_by": "throttle",
        },
        {**EXAMPLE, "name": "[DRILL] soc: this is a fire drill", "notice": "drill", "tags": ["drill"]},
        {**EXAMPLE, "name": "[DRILL] soc: it is over", "notice": "drill", "tags": ["drill"], "status": "resolved"},
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one notice."""
        notice = read_document(raw, NoticeData)
        sinks = tuple(uuid.UUID(text) for text in notice.event_sink_ids)
        incident = "" if notice.dedup_key == notice.id else notice.dedup_key
        at = read_moment(notice.timestamp)
        return Accepted(
            key=notice.id, occurred_at=at, data=raw, routed_to=sinks, incident=incident, status=notice.status
        )

    def dedup_key(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> str:
        """Return the incident of a notice, or its own id if it has none."""
        return str(data.get("dedup_key", ""))

    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return a notice for people. It ignores the template, which is for alerts."""
        notice = NoticeData.model_validate(data)
        return Summary(
            title=notice.name,
            text=notice.description,
            severity=notice.severity,
            status=notice.status,
            source="eventsinks",
            dedup_key=notice.dedup_key,
            tags=tuple(notice.tags),
            details=data,
        )
