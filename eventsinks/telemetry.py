"""What is told about the running system: metrics, and one wide log line per try."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from eventsinks.models.delivery import Settlement

ATTEMPTS = Counter("eventsinks_attempts_total", "Tries, by destination type and outcome.", ["type", "outcome"])
SECONDS = Histogram("eventsinks_exchange_seconds", "Seconds of an exchange, by destination type.", ["type"])


def tried(settlements: Sequence[tuple[str, Settlement]]) -> None:
    """Count tries and write a line for each. They come with the keys of their destination types.

    The lines are written at once and past the logging machinery, which would cost more than the sending.
    """
    for key, settled in settlements:
        ATTEMPTS.labels(key, settled.outcome).inc()
        SECONDS.labels(key).observe(settled.timings.total)
    if logging.getLevelName(settings.LOG_LEVEL) > logging.INFO:
        return
    as_json = settings.LOG_FORMAT == "json"
    now = datetime.now(UTC)
    lines = [line(now, key, settled, as_json=as_json) for key, settled in settlements]
    sys.stderr.write("".join(lines))


def line(now: datetime, key: str, settled: Settlement, *, as_json: bool) -> str:
    """Return the line that tells one try."""
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


def exposition() -> tuple[bytes, str]:
    """Return the metrics in Prometheus' text format, and their content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


def set_up_logging() -> None:
    """Write one line per event to standard error: for people, or as JSON where LOG_FORMAT says so."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if settings.LOG_FORMAT == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(
            serializer=lambda event, **_: orjson.dumps(event, default=str).decode()
        )
    formatter = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": shared, "processor": renderer}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
        }
    )
