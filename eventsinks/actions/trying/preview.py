"""Preview: makes the request that a destination would get for an alert, and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from eventsinks.destinations import destination_type
from eventsinks.destinations.base import AnyDestinationType, DestinationType, Message
from eventsinks.destinations.base.config import MASK
from eventsinks.event_types import event_type
from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.documents import parse_accepted, read_moment
from eventsinks.lib.filters.event_filter import EventFilter
from eventsinks.lib.net.wire import Request
from eventsinks.models import Destination, Event, Tenant

ALERT = event_type("detection_alert")
NOBODY = UUID(int=0)  # the tenant of a message that is not sent


@dataclass(frozen=True, slots=True)
class AlertPreview:
    """One alert: its title, the clause of the filter that rejects it (None: none does), and its request."""

    title: str
    rejected: str | None
    request: Request
    dedup_key: str


def preview_alerts(
    where: str | Destination,
    template: AlertTemplate | None,
    alerts: Iterable[bytes],
    wanted: EventFilter | None = None,
) -> list[AlertPreview]:
    """Return the requests that `where`, a sink or the key of an event sink's type, would get. Opens no secret.

    `template` replaces the sink's own. Raises KeyError for a type that can't be previewed.
    """
    kind = make_stand_in(where)
    template = template or (where.template if isinstance(where, Destination) else None)
    return [preview_alert(kind, template, alert, wanted) for alert in alerts]


def find_last_alerts(tenant: Tenant, number: int) -> list[bytes]:
    """Return the last real alerts of a tenant, the newest first."""
    found = Event.objects.filter(tenant=tenant, type=ALERT.key, expunged_at=None).order_by("-id")
    return [bytes(data) for data in found.values_list("data", flat=True)[:number]]


def preview_alert(
    kind: DestinationType[Any], template: AlertTemplate | None, alert: bytes, wanted: EventFilter | None
) -> AlertPreview:
    """Return the preview of one alert."""
    now = datetime.now(UTC)
    document = parse_accepted(alert)
    message = Message(uuid7(), ALERT, NOBODY, read_moment(document.get("timestamp")), alert, template=template)
    rejected = wanted.rejects(ALERT.told_to_filters(document)) if wanted else None
    return AlertPreview(message.summary.title, rejected, kind.build([message], now), message.summary.dedup_key)


def make_stand_in(where: str | Destination) -> DestinationType[Any]:
    """Return a type that can build requests. It uses the config that a GET shows, and examples for the rest."""
    key, shown = (where, {}) if isinstance(where, str) else (where.type, where.config)
    told = {name: value for name, value in shown.items() if value and MASK not in str(value)}
    kind: type[AnyDestinationType] = destination_type(key)
    found = kind(kind.Config.model_validate({**kind.example, **told}))
    if not isinstance(found, DestinationType):
        raise KeyError(key)
    return found
