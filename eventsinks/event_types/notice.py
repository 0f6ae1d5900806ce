"""Notices: messages of this service about itself, such as a digest, a heartbeat test, or a failing destination."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.columns import MAX_KEY, MAX_TITLE, Columns, write_column, write_tags
from eventsinks.event_types.documents import Id, read_document, read_moment
from eventsinks.event_types.severities import read_severity
from eventsinks.lib.budget import Budget


class NamedDestination(BaseModel):
    """A destination that a notice is about. An event sink's id is a UUID, an integration's a number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    name: str
    tenant_id: str
    tenant: str
    type: str
    since: str
    reason: str


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
    notice: Literal[
        "round_up",
        "drill",
        "event_sink.failing",
        "event_sink.open",
        "event_sink.disabled",
        "event_sink.recovered",
        "integration.failing",
        "integration.open",
        "integration.disabled",
        "integration.recovered",
    ]
    # The number of alerts held back, by what, from when to when, and the id of the last one.
    held: int = 0
    held_by: str = ""
    since: str = ""
    until: str = ""
    last_alert_id: str = ""
    destinations: list[NamedDestination] = []  # that are in trouble, or well again


# What `notice` says of a destination, by its face and what is new.
NEWS = {
    (face, word): f"{face}.{word}"
    for face in ("event_sink", "integration")
    for word in ("failing", "open", "disabled", "recovered")
}
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
        {
            **EXAMPLE,
            "name": "Event sink soc is failing",
            "description": "soc: since 2026-05-04 09:20 UTC: the far end answered 503",
            "severity": "Medium",
            "severity_id": 3,
            "notice": "event_sink.failing",
            "tags": ["event_sink.failing"],
            "destinations": [
                {
                    "id": "00000000-0000-0000-0000-000000000001",
                    "name": "soc",
                    "tenant_id": "00000000-0000-0000-0000-000000000000",
                    "tenant": "Acme",
                    "type": "webhook",
                    "since": "2026-05-04T09:20:00Z",
                    "reason": "the far end answered 503",
                }
            ],
        },
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one notice."""
        notice = read_document(raw, NoticeData)
        sinks = tuple(uuid.UUID(text) for text in notice.event_sink_ids)
        incident = "" if notice.dedup_key == notice.id else notice.dedup_key
        at = read_moment(notice.timestamp)
        return Accepted(
            key=notice.id,
            occurred_at=at,
            data=raw,
            routed_to=sinks,
            incident=incident,
            status=notice.status,
            columns=Columns(
                write_column(notice.name, MAX_TITLE),
                read_severity(notice.severity, notice.severity_id)[1],
                status=notice.status,
                dedup_key=write_column(incident, MAX_KEY),
                tags=write_tags(notice.tags),
            ),
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
