"""Facts: the metrics of what the database knows. They are the same everywhere, so one process finds them out.

Their registry is their own: a process that has not found them out does not say that they are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from eventsinks.models.database.clock import read_database_clock

FACTS = CollectorRegistry()

FOUND_AT = Gauge(
    "eventsinks_facts_timestamp_seconds",
    "When what the database knows was found out: the Unix time of its clock.",
    registry=FACTS,
)
UNACCOUNTED = Gauge(
    "eventsinks_unaccounted",
    "Events and deliveries that the audit found missing: a fault.",
    registry=FACTS,
)
OPEN = Gauge("eventsinks_open_deliveries", "Deliveries that are owed and not ended.", registry=FACTS)
CLEARING = Gauge(
    "eventsinks_clearing_deliveries",
    "Open deliveries of event sinks whose backlog is being suppressed.",
    registry=FACTS,
)
WAITING = Gauge(
    "eventsinks_waiting_deliveries",
    "Deliveries that are owed, by what their event sink waits for; `none` where nothing is in the way.",
    ["obstacle"],
    registry=FACTS,
)
DESTINATIONS = Gauge(
    "eventsinks_destinations",
    "Event sinks and integrations, by their status: active, failing, open, held, paused, disabled or resuming.",
    ["face", "status"],
    registry=FACTS,
)
BEHIND = Gauge(
    "eventsinks_behind_deliveries", "Deliveries that wait for an earlier one of the same order.", registry=FACTS
)
LONGEST_BEHIND = Gauge(
    "eventsinks_oldest_behind_seconds",
    "For how long the delivery that waits the longest for an earlier one has.",
    registry=FACTS,
)
LATE = Gauge(
    "eventsinks_oldest_due_seconds",
    "For how long the delivery that is due the longest has been due.",
    registry=FACTS,
)
OLDEST = Gauge(
    "eventsinks_oldest_kept_seconds",
    "The age of the oldest kept event, by event type.",
    ["type"],
    registry=FACTS,
)
STREAM_SECONDS = Gauge(
    "eventsinks_stream_behind_seconds",
    "The age of the oldest event that an active integration has not sent, by destination type.",
    ["type"],
    registry=FACTS,
)
STREAM_EVENTS = Gauge(
    "eventsinks_stream_backlog_events",
    "Events that wait for active integrations, by destination type; of each integration the first 10,000.",
    ["type"],
    registry=FACTS,
)
LOG_HELD = Gauge(
    "eventsinks_log_held_seconds",
    "For how long the oldest transaction of the database has been writing: no stream passes it.",
    registry=FACTS,
)


class StreamLag(NamedTuple):
    """How far the integrations of one destination type are behind: the seconds of the worst, the events of all."""

    seconds: float
    events: int


def set_oldest(ages: Mapping[str, float]) -> None:
    """Set for how many seconds the oldest event of each type has been kept."""
    OLDEST.clear()
    for key, seconds in ages.items():
        OLDEST.labels(key).set(seconds)


def set_account(unaccounted: int, open_deliveries: int, late_seconds: float, clearing: int = 0) -> None:
    """Set how much the audit misses, how much waits, and for how long."""
    UNACCOUNTED.set(unaccounted)
    OPEN.set(open_deliveries)
    CLEARING.set(clearing)
    LATE.set(late_seconds)


def set_waiting(counts: Mapping[str, int]) -> None:
    """Set how many deliveries wait for each obstacle."""
    WAITING.clear()
    for obstacle, count in counts.items():
        WAITING.labels(obstacle).set(count)


def set_destinations(face: str, counts: Mapping[str, int]) -> None:
    """Set how many destinations of a face have each status."""
    for status, count in counts.items():
        DESTINATIONS.labels(face, status).set(count)


def set_in_line(behind: int, seconds: float) -> None:
    """Set how many deliveries wait for an earlier one, and how long the first of them has waited."""
    BEHIND.set(behind)
    LONGEST_BEHIND.set(seconds)


def set_streams(lags: Mapping[str, StreamLag]) -> None:
    """Set how far the active integrations of each destination type are behind."""
    STREAM_SECONDS.clear()
    STREAM_EVENTS.clear()
    for key, lag in lags.items():
        STREAM_SECONDS.labels(key).set(lag.seconds)
        STREAM_EVENTS.labels(key).set(lag.events)


def set_log_held(seconds: float) -> None:
    """Set for how long the oldest writing transaction holds the streams back; 0 if there is none."""
    LOG_HELD.set(seconds)


def write_facts() -> bytes:
    """Return the facts that this process has just found out, in Prometheus' text format."""
    FOUND_AT.set(read_database_clock().timestamp())
    return generate_latest(FACTS)
