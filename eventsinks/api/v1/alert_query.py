"""Alert query: what the lists of alerts and deliveries can be asked for, by the words and columns of an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal, Self
from uuid import UUID

from django.db.models import QuerySet
from pydantic import field_validator, model_validator

from eventsinks.api.queries import Text
from eventsinks.api.v1.shapes import End, Moment
from eventsinks.api.v1.view import DEFAULT_PAGE, Listing, make_parameter, read_token
from eventsinks.event_types.severities import SEVERITY_NUMBERS
from eventsinks.models import Delivery, Event
from eventsinks.models.search.find import LAST, Search, find_alerts, find_first_id

ALERTS = 1_000  # newest alerts whose deliveries a list shows


class AlertWanted(Listing):
    """Which alerts: by beginnings of words of name, rule and tags, and by severity, status, rule and so on.

    `since` and `until` are bounds of the time when what is listed was made.
    """

    since: Moment | None = None
    until: End | None = None
    q: Text | None = None
    severity: str | None = None
    rule: Text | None = None
    tag: Text | None = None

    @model_validator(mode="after")
    def check_period(self) -> Self:
        """Refuse a period that ends before it begins."""
        if self.since and self.until and self.until < self.since:
            raise ValueError("until must not be before since")
        return self

    @field_validator("severity")
    @classmethod
    def is_a_severity(cls, name: str | None) -> str | None:
        """Return the name as it is listed. Raises ValueError for an unknown one."""
        if name is not None and name.capitalize() not in SEVERITY_NUMBERS:
            raise ValueError(f"must be one of {', '.join(SEVERITY_NUMBERS)}")
        return name and name.capitalize()


class AlertQuery(AlertWanted):
    """What the list of alerts can be asked for."""

    status: Literal["firing", "acknowledged", "resolved"] | None = None
    dedup_key: Text | None = None


OF_AN_ALERT = [
    make_parameter(
        "q", "beginnings of words of the name, the rule or the tags; all of them", type="string", maxLength=1000
    ),
    make_parameter("severity", "of one severity", type="string", enum=list(SEVERITY_NUMBERS)),
    make_parameter("rule", "of one rule, by its `detection_rule_id`", type="string", maxLength=1000),
    make_parameter("tag", "with one tag", type="string", maxLength=1000),
]
SEARCH = [
    *OF_AN_ALERT,
    make_parameter("status", "of one status", type="string", enum=["firing", "acknowledged", "resolved"]),
    make_parameter("dedup_key", "of one incident", type="string", maxLength=1000),
    make_parameter("since", "accepted then or later", type="string", format="date-time"),
    make_parameter(
        "until", "accepted then or before; a day is meant to its end", type="string", format="date-time"
    ),
]


def make_search(query: AlertWanted, tenant_id: UUID) -> Search:
    """Return the search for what a query asks of an alert."""
    return Search(
        tenant_id=tenant_id,
        words=query.q or "",
        severity=SEVERITY_NUMBERS[query.severity] if query.severity else None,
        rule=query.rule or "",
        tag=query.tag or "",
    )


def keep_wanted(events: QuerySet[Event], query: AlertQuery, tenant_id: UUID) -> QuerySet[Event]:
    """Return the alerts that match the query, as many as the page needs. Raises Invalid for the page's token."""
    until = query.until + timedelta(milliseconds=1) if query.until else None
    search = replace(
        make_search(query, tenant_id),
        status=query.status or "",
        dedup_key=query.dedup_key or "",
        since=query.since,
        until=until,
    )
    if search.is_needed:
        before = read_token(query.page.page_token, int) if query.page.page_token else LAST
        return events.filter(id__in=find_alerts(search, (query.page.page_size or DEFAULT_PAGE) + 1, before))
    events = events.filter(id__gte=find_first_id(query.since)) if query.since else events
    return events.filter(id__lt=find_first_id(until)) if until else events


def keep_of_alerts(deliveries: QuerySet[Delivery], query: AlertWanted, tenant_id: UUID) -> QuerySet[Delivery]:
    """Return the deliveries of the newest ALERTS alerts that match the query; all, if it asks nothing of them."""
    search = make_search(query, tenant_id)
    return deliveries.filter(event_id__in=find_alerts(search, ALERTS)) if search.is_needed else deliveries
