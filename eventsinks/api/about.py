"""About: what the log line of a request says of its tenant and its events, beside what the front knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from rest_framework.request import Request

from eventsinks.intake.accept import Acceptance
from eventsinks.lib.request_id import ABOUT


def note_about(request: HttpRequest | Request, **facts: Any) -> None:
    """Add facts to the log line of a request. Without our web server there is no such line."""
    request.META.get(ABOUT, {}).update(facts)


def describe_intake(tenant_id: UUID, type: str, acceptance: Acceptance) -> Mapping[str, Any]:
    """Return what the line of a POST of events says: one event by its ids, many by their number."""
    events = acceptance.events
    facts: dict[str, Any] = {"tenant": tenant_id, "type": type, "events": len(events)}
    if len(events) == 1:
        facts["event_id"], facts["event_key"] = events[0].id, events[0].key
    if acceptance.rejections:
        facts["rejected"] = len(acceptance.rejections)
    return facts
