"""Counts: the metrics of the door."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

POSTED = Counter("eventsinks_door_requests_total", "Requests that post events, by who answered them.", ["road"])
GROUPS = Histogram(
    "eventsinks_door_group_requests",
    "Requests that were committed together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
WAITING = Gauge("eventsinks_door_waiting", "Requests that wait for their commit.")
