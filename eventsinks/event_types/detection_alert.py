"""A detection alert, in the shape in which Scanner sends it to webhooks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from eventsinks.event_types.base import (
    SEVERITIES,
    Accepted,
    EventType,
    NotAcceptable,
    Summary,
    from_epoch,
)
from eventsinks.lib.validation import first_error

SEVERITY_IDS = {0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal"}
SEVERITY_IDS[99] = "Other"  # OCSF's numbers
MAX_FACTS = 20
MAX_DEPTH = 200  # levels; what is read deeper can't be written again by every library


class DetectionAlertData(BaseModel):
    """What is read of an alert. Unknown keys are kept, and go on as they came."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    id: str | None = Field(None, min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")
    tenant_id: str | None = None
    name: str = Field(min_length=1, max_length=10_000)
    description: str | None = None
    severity: str | None = None
    severity_id: int | None = None
    status: Literal["firing", "acknowledged", "resolved"] = "firing"
    dedup_key: str | None = Field(None, min_length=1, max_length=255)
    detection_rule_id: str | None = None
    event_sink_ids: list[str] | None = Field(None, max_length=1000)
    staging: bool = False
    tags: list[str] | None = None
    timestamp: int | str | None = None

    @field_validator("severity")
    @classmethod
    def is_a_severity(cls, name: str | None) -> str | None:
        """Raise ValueError for a severity that there is not; its case does not matter."""
        if name is not None and name.capitalize() not in SEVERITIES:
            raise ValueError(f"must be one of {', '.join(SEVERITIES)}")
        return name

    @field_validator("severity_id")
    @classmethod
    def is_a_severity_id(cls, number: int | None) -> int | None:
        """Raise ValueError for a number that OCSF gives no severity."""
        if number is not None and number not in SEVERITY_IDS:
            raise ValueError(f"must be one of {', '.join(map(str, SEVERITY_IDS))}")
        return number


class DetectionAlert(EventType):
    """What a detection rule found."""

    key: ClassVar[str] = "detection_alert"
    label: ClassVar[str] = "Detection alert"
    Data: ClassVar[type[BaseModel]] = DetectionAlertData

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one alert, and put an id at its front if it has none; every other byte stays."""
        alert = parsed(raw)
        if alert.tenant_id is not None and alert.tenant_id.lower() != str(tenant_id):
            raise NotAcceptable("is not the tenant of this API key", "tenant_id")
        data = raw.strip(b" \t\r\n")
        if alert.id is None and "id" in alert.model_fields_set:  # ours beside it would be read as null by many
            raise NotAcceptable("must be a string", "id")
        if alert.id is None:
            alert.id = str(uuid.uuid4())
            rest = data[1:].lstrip(b" \t\r\n")
            data = b'{"id":"%s",%s' % (alert.id.encode(), rest)
        return Accepted(
            key=alert.id,
            occurred_at=moment(alert.timestamp),
            data=data,
            routed_to=sink_ids(alert.event_sink_ids),
            held="staging" if alert.staging else "",
        )

    def summary(self, data: Mapping[str, Any]) -> Summary:
        """Tell an alert to a person."""
        severity_id = data.get("severity_id")
        by_number = SEVERITY_IDS.get(severity_id, "Unknown") if isinstance(severity_id, int) else "Unknown"
        link = data.get("View in Scanner")
        return Summary(
            title=str(data.get("name", "")),
            text=str(data.get("description") or ""),
            severity=str(data.get("severity") or by_number).capitalize(),
            status=str(data.get("status", "firing")),
            link=link if isinstance(link, str) else "",
            source=str(data.get("source") or data.get("detection_rule_id") or "eventsinks"),
            dedup_key=str(data.get("dedup_key") or data.get("id") or ""),
            tags=tuple(map(str, data.get("tags") or ())),
            facts=tuple(facts(data)),
            details=data,
        )


def parsed(raw: bytes) -> DetectionAlertData:
    """Read one alert strictly: RFC 8259 JSON, an object, no NaN, not too deep. Raises NotAcceptable."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotAcceptable(f"not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotAcceptable("must be a JSON object")
    if too_deep(raw, document):
        raise NotAcceptable(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        alert = DetectionAlertData.model_validate(document)
    except ValidationError as error:
        field, message = first_error(error)
        raise NotAcceptable(message, field) from None
    if alert.severity is None and alert.severity_id is None:
        raise NotAcceptable(f"is required: one of {', '.join(SEVERITIES)}", "severity")
    return alert


def too_deep(raw: bytes, document: Any) -> bool:
    """Whether it is nested deeper than MAX_DEPTH. Few brackets say no at once."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    level = [document]
    for _ in range(MAX_DEPTH):
        inside = (list(value.values()) if isinstance(value, dict) else value for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
    return bool(level)


def moment(timestamp: int | str | None) -> datetime:
    """Return when it happened: epoch nanoseconds or RFC 3339, now if not said. Raises NotAcceptable."""
    try:
        if isinstance(timestamp, int):
            return from_epoch(timestamp)
        if isinstance(timestamp, str):
            at = datetime.fromisoformat(timestamp)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # OverflowError: in UTC it is before year 1 or after 9999
        raise NotAcceptable("must be epoch nanoseconds or an RFC 3339 time", "timestamp") from None
    return datetime.now(UTC)


def sink_ids(given: list[str] | None) -> tuple[uuid.UUID, ...] | None:
    """Return the event sinks an alert names, each once; None if it names none. Raises NotAcceptable."""
    if given is None:
        return None
    found: dict[uuid.UUID, None] = {}
    for index, text in enumerate(given):
        try:
            found[uuid.UUID(text)] = None
        except ValueError:
            raise NotAcceptable("must be a UUID", f"event_sink_ids.{index}") from None
    return tuple(found)


def facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the first row of the results as label and value."""
    table = data.get("results_table")
    rows = table.get("rows") if isinstance(table, dict) else None
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    return [(str(label), text_of(value)) for label, value in list(first.items())[:MAX_FACTS]]


def text_of(value: Any) -> str:
    """Return a JSON value as text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
