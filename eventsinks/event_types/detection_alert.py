"""Detection alerts: their shape is the one that Scanner sends to webhooks."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from eventsinks.event_types.alert_template import MAX_INFO, OF_AN_ALERT, AlertTemplate, FilledTemplate
from eventsinks.event_types.base import SEVERITIES, Accepted, EventType, NotAcceptable, Summary
from eventsinks.event_types.columns import MAX_KEY, MAX_RULE, MAX_TITLE, Columns, write_column, write_tags
from eventsinks.event_types.documents import Id, give_id, read_document, read_moment, read_text, write_value
from eventsinks.event_types.severities import SEVERITY_IDS, read_severity
from eventsinks.lib.budget import Budget
from eventsinks.lib.templates.template import BROUGHT, KEPT

MAX_FACTS = 20
ROWS, COLUMNS = 5, 6  # how much of the results a summary has
MOST_COLUMNS = 1_000
MOST_KEYS = 3  # of an info or an action
# The values that filters see if an alert has none.
DEFAULTS: Mapping[str, Any] = {
    "name": "",
    "status": "firing",
    "tags": (),
    "description": "",
    "detection_rule_id": "",
    "source": "",
}


class DetectionAlertData(BaseModel):
    """What is read of an alert. Unknown keys are kept, and go on as they came."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    id: Id | None = Field(None, description="its id; made if absent")
    tenant_id: str | None = Field(None, description="the key's own")
    name: str = Field(min_length=1, max_length=10_000, description="what happened")
    description: str | None = Field(None, description="more about it")
    severity: str | None = Field(
        None, description="how bad it is, as `High`; required, unless there is `severity_id`"
    )
    severity_id: int | None = Field(None, description="OCSF's number for it: 0 to 6, or 99")
    status: Literal["firing", "acknowledged", "resolved"] = Field("firing", description="how the incident stands")
    dedup_key: str | None = Field(
        None, min_length=1, max_length=255, description="the same for all that is said of one incident"
    )
    detection_rule_id: str | None = Field(None, description="which rule found it")
    event_sink_ids: list[str] | None = Field(
        None,
        max_length=1000,
        fail_fast=True,
        description="where it goes; every event sink that wants it if absent",
    )
    staging: bool = Field(False, description="whether it is kept and sent nowhere")
    tags: list[str] | None = Field(None, fail_fast=True, description="words for it")
    timestamp: int | str | None = Field(None, description="when it happened: epoch nanoseconds, or RFC 3339")

    @field_validator("severity")
    @classmethod
    def is_a_severity(cls, name: str | None) -> str | None:
        """Raise ValueError for an unknown severity. Its case does not matter."""
        if name is not None and name.capitalize() not in SEVERITIES:
            raise ValueError(f"must be one of {', '.join(SEVERITIES)}")
        return name

    @field_validator("severity_id")
    @classmethod
    def is_a_severity_id(cls, number: int | None) -> int | None:
        """Raise ValueError for a number that is not a severity in OCSF."""
        if number is not None and number not in SEVERITY_IDS:
            raise ValueError(f"must be one of {', '.join(map(str, SEVERITY_IDS))}")
        return number


class DetectionAlert(EventType):
    """The findings of a detection rule."""

    key: ClassVar[str] = "detection_alert"
    label: ClassVar[str] = "Detection alert"
    Data: ClassVar[type[BaseModel]] = DetectionAlertData
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"name": "Root login", "severity": "High"},
        {"name": "Root login", "severity_id": 5, "status": "acknowledged", "dedup_key": "root-login"},
        {"name": "Root login", "severity": "Low", "status": "resolved", "dedup_key": "root-login"},
        {
            "name": "Root login",
            "description": "Somebody logged in as root.",
            "severity": "Fatal",
            "tags": ["tactics.ta0001.initial_access"],
            "detection_rule_id": "2f9b8d34-0a67-4a1e-8d0b-64c9f1f7f0aa",
            "View in Scanner": "https://example.com/alert",
            "alert_template": {
                "info": [{"label": "User", "value": "{{@alert.user}}", "use_for_dedup": True}],
                "actions": [{"label": "Runbook", "value": "https://example.com/runbook"}],
            },
            "user": "root",
            "results_table": {"columns": ["user"], "rows": [{"user": "root"}], "total_row_count": 1},
        },
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one alert. If it has no id, put one at its front. Every other byte stays."""
        alert = parse_alert(raw)
        if alert.tenant_id is not None and alert.tenant_id.lower() != str(tenant_id):
            raise NotAcceptable("is not the tenant of this API key", "tenant_id")
        key, data = give_id(raw, alert, alert.id)
        return Accepted(
            key=key,
            occurred_at=read_moment(alert.timestamp),
            data=data,
            routed_to=read_sink_ids(alert.event_sink_ids),
            held="staging" if alert.staging else "",
            incident=alert.dedup_key or "",
            status=alert.status,
            marks=b"use_for_dedup" in raw,
            columns=write_columns(alert),
        )

    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return an alert for people. The destination's template applies, or else the alert's own."""
        chosen, among = (template, KEPT) if template else (read_own_template(data), BROUGHT)
        told = chosen.told(data, budget, among) if chosen and (chosen.info or chosen.actions) else FilledTemplate()
        severity_id = data.get("severity_id")
        by_number = SEVERITY_IDS.get(severity_id, "Unknown") if isinstance(severity_id, int) else "Unknown"
        found = Results.of(data.get("results_table"))
        return Summary(
            title=str(data.get("name", "")),
            text=str(data.get("description") or ""),
            severity=str(data.get("severity") or by_number).capitalize(),
            status=str(data.get("status", "firing")),
            link=read_text(data, "View in Scanner"),
            source=read_text(data, "source") or "eventsinks",
            dedup_key=name_incident(data, told.dedup_values),
            tags=tuple(map(str, data.get("tags") or ())),
            facts=found.facts(),
            info=told.info,
            actions=told.actions,
            columns=tuple(found.columns[:COLUMNS]),
            rows=tuple(map(found.told, found.rows[:ROWS])),
            row_count=found.count,
            details=data,
        )

    def dedup_key(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> str:
        """Return the key that all alerts of one incident share, with 255 characters at most.

        It is the alert's own key, or else its rule with the values that the template marks, or else its id: then
        each alert is an incident.
        """
        chosen, among = (template, KEPT) if template else (read_own_template(data), BROUGHT)
        return name_incident(data, chosen.dedup_values(data, budget, among) if chosen else ())

    def told_to_filters(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the alert with the fields that filters use most: these are never missing and never null."""
        given = {key: value for key, value in data.items() if value is not None}
        severity, severity_id = read_severity(given.get("severity"), given.get("severity_id"))
        told = {"severity": severity, "severity_id": severity_id, "dedup_key": given.get("id", "")}
        return {
            **data,
            **DEFAULTS,
            **told,
            **{key: given[key] for key in (*DEFAULTS, "dedup_key") if key in given},
        }


def write_columns(alert: DetectionAlertData) -> Columns:
    """Return what people find an alert by."""
    return Columns(
        write_column(alert.name, MAX_TITLE),
        read_severity(alert.severity, alert.severity_id)[1],
        write_column(alert.detection_rule_id, MAX_RULE) if alert.detection_rule_id else "",
        alert.status,
        write_column(alert.dedup_key, MAX_KEY) if alert.dedup_key else "",
        write_tags(alert.tags) if alert.tags else "",
    )


def read_own_template(data: Mapping[str, Any]) -> AlertTemplate | None:
    """Return the template that an alert has from its rule, None if it has no valid one."""
    given = data.get("alert_template")
    if not isinstance(given, dict) or len(given) > 2 or has_strange_items(given):
        return None
    try:
        return AlertTemplate.model_validate(given, context={OF_AN_ALERT: True})
    except ValidationError:
        return None


def has_strange_items(given: Mapping[str, Any]) -> bool:
    """Whether a template has too many keys: validation would report each of a hundred thousand."""
    items = [item for found in given.values() if isinstance(found, list) for item in found[: MAX_INFO + 1]]
    return any(isinstance(item, dict) and len(item) > MOST_KEYS for item in items)


def name_incident(data: Mapping[str, Any], values: tuple[str, ...]) -> str:
    """Return the incident of an alert. `values` tell the incidents of one rule apart."""
    given = data.get("dedup_key")
    if given or not values:
        return str(given or data.get("id") or "")
    rule = data.get("detection_rule_id") or data.get("name") or ""
    return hashlib.sha256(json.dumps([str(rule), *values]).encode()).hexdigest()


def parse_alert(raw: bytes) -> DetectionAlertData:
    """Read one alert strictly. Raises NotAcceptable."""
    alert = read_document(raw, DetectionAlertData)
    if alert.severity is None and alert.severity_id is None:
        raise NotAcceptable(f"is required: one of {', '.join(SEVERITIES)}", "severity")
    return alert


def read_sink_ids(given: list[str] | None) -> tuple[uuid.UUID, ...] | None:
    """Return the event sinks that an alert names, each once, None if it names none. Raises NotAcceptable."""
    if given is None:
        return None
    found: dict[uuid.UUID, None] = {}
    for index, text in enumerate(given):
        try:
            found[uuid.UUID(text)] = None
        except ValueError:
            raise NotAcceptable("must be a UUID", f"event_sink_ids.{index}") from None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Results:
    """The results of the rule's query. `count` is the number of all rows; the alert may hold fewer."""

    columns: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    count: int = 0

    @classmethod
    def of(cls, table: Any) -> Results:
        """Read the results of an alert. Ignore parts that have another shape. Never raises."""
        given = table if isinstance(table, dict) else {}
        listed, named, total = given.get("rows"), given.get("columns"), given.get("total_row_count")
        rows = [row for row in listed if type(row) is dict] if isinstance(listed, list) else []
        columns = [name for name in named[:MOST_COLUMNS] if type(name) is str] if isinstance(named, list) else []
        known = any(name in row for row in rows[:ROWS] for name in columns)
        said = total if isinstance(total, int) and not isinstance(total, bool) else 0
        first = rows[0] if rows else {}
        return cls(columns if known else list(islice(first, MOST_COLUMNS)), rows, max(said, len(rows)))

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the first row as label and value."""
        first = self.rows[0] if self.rows else {}
        return tuple((str(label), write_value(value)) for label, value in islice(first.items(), MAX_FACTS))

    def told(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the texts of a row's first columns, "" for an empty cell."""
        cells = [row.get(name) for name in self.columns[:COLUMNS]]
        return tuple("" if cell is None else write_value(cell) for cell in cells)
