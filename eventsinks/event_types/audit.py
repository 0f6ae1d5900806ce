"""Audit events: their shape is that of NetBird's API (GET /api/events/audit)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from eventsinks.event_types.activity_codes import find_activity
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.columns import MAX_TITLE, Columns, write_column
from eventsinks.event_types.documents import (
    Id,
    LongText,
    give_id,
    read_document,
    read_moment,
    read_text,
    write_time,
    write_value,
)
from eventsinks.lib.budget import Budget

MAX_FACTS = 20
TEXTS = ("initiator_id", "initiator_name", "initiator_email", "target_id")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

ID_SCHEMA = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "integer"}]}


def write_id(id: Any) -> Any:
    """Return a numeric id as text."""
    return str(id) if type(id) is int else id


class AuditData(BaseModel):
    """The fields of an audit event that are checked. Unknown keys stay in the event.

    NetBird's ids are numbers written as text; one of its pages writes them as numbers.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Annotated[Id | None, BeforeValidator(write_id), WithJsonSchema(ID_SCHEMA)] = Field(
        None, description="the id of the event; the service makes one if it is absent"
    )
    timestamp: str | None = Field(None, description="when it happened, in RFC 3339; now if it is absent")
    activity: LongText | None = Field(None, description="what happened, in words, such as `Policy added`")
    activity_code: str = Field(
        min_length=1, max_length=255, description="the code of what happened, such as `policy.add`"
    )
    initiator_id: LongText | None = Field(None, description="the id of the user who did it, `sys` for the system")
    initiator_name: LongText | None = Field(None, description="the name of the user who did it")
    initiator_email: LongText | None = Field(None, description="the email address of the user who did it")
    target_id: LongText | None = Field(None, description="the id of what it was done to")
    meta: dict[str, Any] | None = Field(None, description="more facts about it; they are shown as text")


class Audit(EventType):
    """Something that a person or the system did in a tenant."""

    key: ClassVar[str] = "audit"
    label: ClassVar[str] = "Audit"
    Data: ClassVar[type[BaseModel]] = AuditData
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"activity_code": "user.login"},
        {
            "id": "17",
            "timestamp": "2026-05-04T09:30:00Z",
            "activity": "Policy added",
            "activity_code": "policy.add",
            "initiator_id": "jo",
            "initiator_email": "jo@example.com",
            "target_id": "policy-1",
            "meta": {"name": "all", "ports": 443},
        },
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one audit event. If it has no id, put one at its front. Every other byte stays."""
        event = read_document(raw, AuditData)
        key, data = give_id(raw, event, event.id)
        title = write_column(event.activity or find_activity(event.activity_code), MAX_TITLE)
        return Accepted(key=key, occurred_at=read_moment(event.timestamp), data=data, columns=Columns(title))

    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return an audit event for people."""
        by = (
            read_text(data, "initiator_name")
            or read_text(data, "initiator_email")
            or read_text(data, "initiator_id")
        )
        rows = [("By", by), ("Target", read_text(data, "target_id")), *read_meta(data).items()]
        return Summary(
            title=describe_activity(data),
            text=f"by {by}" if by else "",
            severity="Informational",
            link=read_text(data, "reference"),
            source="audit",
            dedup_key=read_text(data, "id"),
            facts=tuple((label, value) for label, value in rows if value)[:MAX_FACTS],
            details=data,
        )

    def read_back(self, data: Mapping[str, Any], occurred_at: datetime) -> dict[str, Any]:
        """Return `data` with all fields that NetBird's API always returns. Other fields that were sent stay."""
        return {
            **data,
            "id": read_text(data, "id"),
            "timestamp": write_timestamp(data, occurred_at),
            "activity": describe_activity(data),
            **{name: read_text(data, name) for name in TEXTS},
            "meta": read_meta(data),
        }


def describe_activity(data: Mapping[str, Any]) -> str:
    """Return what happened in words: the event's own text, or that of its code."""
    return read_text(data, "activity") or find_activity(read_text(data, "activity_code"))


def read_meta(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the meta, with each value as text."""
    meta = data.get("meta")
    return {key: write_value(value) for key, value in meta.items()} if isinstance(meta, Mapping) else {}


def write_timestamp(data: Mapping[str, Any], occurred_at: datetime, name: str = "timestamp") -> str:
    """Return the time as the event gives it, to the nanosecond, or else the time that we read."""
    given = data.get(name)
    return given if isinstance(given, str) and RFC3339.fullmatch(given) else write_time(occurred_at)
