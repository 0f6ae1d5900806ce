"""A detection alert, in the shape in which Scanner sends it to webhooks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from eventsinks.event_types.base import SEVERITIES, Accepted, EventType, NotAcceptable, Summary
from eventsinks.event_types.documents import Id, moment, read, text_of, with_id

SEVERITY_IDS = {0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal"}
SEVERITY_IDS[99] = "Other"  # OCSF's numbers
MAX_FACTS = 20


class DetectionAlertData(BaseModel):
    """What is read of an alert. Unknown keys are kept, and go on as they came."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    id: Id | None = None
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
        key, data = with_id(raw, alert, alert.id)
        return Accepted(
            key=key,
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
    """Read one alert strictly. Raises NotAcceptable."""
    alert = read(raw, DetectionAlertData)
    if alert.severity is None and alert.severity_id is None:
        raise NotAcceptable(f"is required: one of {', '.join(SEVERITIES)}", "severity")
    return alert


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
