"""Telemetry: metrics, and one wide log line for each try."""

from __future__ import annotations

import logging
import logging.config
import sys
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal

import orjson
import structlog
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, generate_latest, start_http_server
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from eventsinks.models.delivery import Settlement
from eventsinks.models.secrets.masking import mask_line

# Below INFO, these libraries log tokens, requests with their headers, and parameters of SQL.
TALKATIVE = (
    *("amqp", "boto3", "botocore", "celery", "django", "hpack", "httpcore", "httpx", "kombu", "oauthlib"),
    *("psycopg", "redis", "requests", "requests_oauthlib", "s3transfer", "slack_sdk", "urllib3", "vine"),
)

ATTEMPTS = Counter("eventsinks_attempts_total", "Tries, by destination type and outcome.", ["type", "outcome"])
OVER_BUDGET = Counter(
    "eventsinks_over_budget_total",
    "Events of which not all was rendered or asked: it would cost too much.",
    ["what"],
)
UNACCOUNTED = Gauge(
    "eventsinks_unaccounted_deliveries", "Deliveries of the last hour that are not what was accepted: a fault."
)
OPEN = Gauge("eventsinks_open_deliveries", "Deliveries that are owed and not ended.")
CLEARING = Gauge(
    "eventsinks_clearing_deliveries", "Open deliveries of event sinks whose backlog is being suppressed."
)
WAITING = Gauge(
    "eventsinks_waiting_deliveries",
    "Deliveries that are owed, by what their event sink waits for; `none` where nothing is in the way.",
    ["obstacle"],
)
DESTINATIONS = Gauge(
    "eventsinks_destinations",
    "Event sinks and integrations, by their status: active, failing, open, held, paused, disabled or resuming.",
    ["face", "status"],
)
BEHIND = Gauge("eventsinks_behind_deliveries", "Deliveries that wait for an earlier one of the same order.")
LONGEST_BEHIND = Gauge(
    "eventsinks_oldest_behind_seconds", "For how long the delivery that waits the longest for an earlier one has."
)
LATE = Gauge("eventsinks_oldest_due_seconds", "For how long the delivery that is due the longest has been due.")
REMOVED = Counter("eventsinks_removed_total", "Deleted rows that were kept long enough, by table.", ["table"])
OLDEST = Gauge("eventsinks_oldest_kept_seconds", "The age of the oldest kept event, by event type.", ["type"])
WRONG_KEYS = Counter("eventsinks_wrong_keys_total", "API keys that opened nothing.")
REFUSED = Counter("eventsinks_refused_total", "What a limit refused, by the limit's name.", ["limit"])


class Seconds(Collector):
    """The durations of exchanges by destination type: a histogram to which adding is very cheap."""

    BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, key: str, seconds: float) -> None:
        """Add one exchange."""
        counts = self._counts.setdefault(key, [0] * (len(self.BOUNDS) + 1))
        counts[bisect_left(self.BOUNDS, seconds)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram."""
        told = "Seconds of an exchange, by destination type."
        family = HistogramMetricFamily("eventsinks_exchange_seconds", told, labels=["type"])
        names = [*map(str, self.BOUNDS), "+Inf"]
        for key, counts in self._counts.items():
            family.add_metric([key], list(zip(names, accumulate(counts), strict=True)), self._sums[key])
        yield family


SECONDS = Seconds()
REGISTRY.register(SECONDS)


def count_tries(settlements: Sequence[tuple[str, Settlement]]) -> None:
    """Count tries and write a line for each. Each comes with the key of its destination type.

    The lines bypass the logging machinery, which would cost more than the sending.
    """
    for (key, outcome), count in Tally((key, settled.outcome) for key, settled in settlements).items():
        ATTEMPTS.labels(key, outcome).inc(count)
    for key, settled in settlements:
        SECONDS.observe(key, settled.timings.total)
    if logging.getLevelName(settings.LOG_LEVEL) > logging.INFO:
        return
    as_json = settings.LOG_FORMAT == "json"
    now = datetime.now(UTC)
    lines = [write_line(now, key, settled, as_json=as_json) for key, settled in settlements]
    sys.stderr.write("".join(lines))


def write_line(now: datetime, key: str, settled: Settlement, *, as_json: bool) -> str:
    """Return the log line of one try."""
    facts = {
        "timestamp": now,
        "level": "info" if settled.outcome == "delivered" else "warning",
        "event": "delivery.tried",
        "delivery": settled.claimed.id,
        "tenant": settled.claimed.tenant_id,
        "destination": settled.claimed.destination_id,
        "type": key,
        "number": settled.claimed.tries,
        "outcome": settled.outcome,
        "state": settled.state,
        "status": settled.status,
        "reason": settled.reason,
        "peer": settled.peer,
        "total_ms": round(settled.timings.total * 1000, 1),
    }
    if as_json:
        return orjson.dumps(facts, option=orjson.OPT_UTC_Z).decode() + "\n"
    told = " ".join(f"{name}={value}" for name, value in list(facts.items())[3:] if value not in ("", None))
    return f"{now:%Y-%m-%d %H:%M:%S} {facts['event']} {told}\n"


def count_over_budget(what: Literal["templates", "filters"]) -> None:
    """Count an event whose templates or filters exceed their budget."""
    OVER_BUDGET.labels(what).inc()


def count_removed(removed: Mapping[str, int]) -> None:
    """Count rows that the retention has deleted, by table."""
    for table, count in removed.items():
        REMOVED.labels(table).inc(count)


def set_oldest(ages: Mapping[str, float]) -> None:
    """Set for how many seconds the oldest event of each type has been kept."""
    OLDEST.clear()
    for key, seconds in ages.items():
        OLDEST.labels(key).set(seconds)


def set_account(unaccounted: int, open_deliveries: int, late_seconds: float, clearing: int = 0) -> None:
    """Set how far the last hour is accounted for, how much waits, and for how long."""
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


def write_exposition() -> tuple[bytes, str]:
    """Return the metrics in Prometheus' text format, and their content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


def serve(port: int) -> None:
    """Serve the metrics at a port of this process."""
    start_http_server(port)


def set_up_logging() -> None:
    """Write one line for each event to standard error: for people, or as JSON if LOG_FORMAT says so."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain tracebacks: the values of variables would write secrets into the log.
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if settings.LOG_FORMAT == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(
            serializer=lambda event, **_: orjson.dumps(event, default=str).decode()
        )
    formatter = {"()": MaskingFormatter, "foreign_pre_chain": shared, "processor": renderer}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {name: {"level": get_level_of_info()} for name in TALKATIVE},
        }
    )


def get_level_of_info() -> int:
    """Return the level for libraries that must not log below INFO."""
    return max(logging.INFO, logging.getLevelNamesMapping()[settings.LOG_LEVEL])


class MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats a record as one line without what looks like a secret: a second line of defence."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback if it has one."""
        return mask_line(super().format(record))
