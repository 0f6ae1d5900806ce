"""Lag: how far the integrations of all tenants are behind, by destination type; and what holds them all back."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from eventsinks.models.stream import FAR, count_backlog, find_holder, find_unsent
from eventsinks.telemetry import StreamLag

log = logging.getLogger(__name__)

COUNTED = 100  # integrations whose waiting events are counted, those furthest behind
LONG = 30.0  # seconds; a transaction that writes for so long is worth a line


def measure_streams() -> Mapping[str, StreamLag]:
    """Return how far the active integrations of each destination type that has something to send are behind."""
    lags: dict[str, StreamLag] = {}
    for rank, one in enumerate(find_unsent()):
        number = count_backlog(one.tenant_id, one.types, one.place, FAR)[0] if rank < COUNTED else 1
        before = lags.get(one.type, StreamLag(0.0, 0))
        lags[one.type] = StreamLag(max(before.seconds, one.seconds), before.events + number)
    return lags


def measure_hold() -> float:
    """Return for how many seconds the oldest writing transaction has held streams back. Log it if that is long."""
    holder = find_holder()
    if holder and holder.seconds >= LONG:
        log.warning("streams wait for %s, which has been writing for %.0f s", holder.name, holder.seconds)
    return holder.seconds if holder else 0.0
