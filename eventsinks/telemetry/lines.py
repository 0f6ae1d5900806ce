"""Lines: what goes to the log, one line for each thing that happened.

Lines of the hot roads bypass the logging machinery, which would cost more than the sending. They have the same
form: with LOG_FORMAT=json, one object a line.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from django.conf import settings

from eventsinks.models.delivery import Settlement
from eventsinks.models.secrets.masking import mask_line

# Below INFO, these libraries log tokens, requests with their headers, and parameters of SQL.
TALKATIVE = (
    *("amqp", "boto3", "botocore", "celery", "django", "hpack", "httpcore", "httpx", "kombu", "oauthlib"),
    *("psycopg", "redis", "requests", "requests_oauthlib", "s3transfer", "slack_sdk", "urllib3", "vine"),
)
Facts = Mapping[str, Any]


def write_tries(settlements: Sequence[tuple[str, Settlement]]) -> None:
    """Write a line for each try. Each comes with the key of its destination type."""
    write_lines("delivery.tried", [describe_try(key, settled) for key, settled in settlements])


def describe_try(key: str, settled: Settlement) -> Facts:
    """Return what the line of one try says."""
    return {
        "level": "info" if settled.outcome == "delivered" else "warning",
        "delivery": settled.claimed.id,
        "event_id": settled.claimed.event_id,
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


def write_line(event: str, facts: Facts) -> None:
    """Write one line at once, as `write_lines` does."""
    write_lines(event, [facts])


def write_lines(event: str, many: Sequence[Facts]) -> None:
    """Write a line for each of `many`, all of them now. `level` is one of their facts, else it is info.

    The caller has masked what is secret. Nothing is written if LOG_LEVEL is above INFO.
    """
    if not many or logging.getLevelNamesMapping()[settings.LOG_LEVEL] > logging.INFO:
        return
    now = datetime.now(UTC)
    if settings.LOG_FORMAT == "json":
        head = {"timestamp": now, "level": "info", "event": event}
        lines = b"".join([orjson.dumps({**head, **facts}, str, AS_JSON) for facts in many]).decode()
    else:
        lines = "".join([f"{now:%Y-%m-%d %H:%M:%S} {event} {write_words(facts)}\n" for facts in many])
    sys.stderr.write(lines)


AS_JSON = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


NO_WORDS = ("level", "timestamp")


def write_words(facts: Facts) -> str:
    """Return facts as a person reads them, in one line."""
    told = " ".join(
        f"{name}={value}" for name, value in facts.items() if name not in NO_WORDS and value not in ("", None)
    )
    return told if told.isprintable() else "".join(c if c.isprintable() else "?" for c in told)


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
