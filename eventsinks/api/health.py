"""Whether this server can work (`/readyz`), and its metrics. The front answers `/healthz`."""

from __future__ import annotations

from typing import Any

import redis
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from eventsinks import telemetry
from eventsinks.api.json import dumps
from eventsinks.intake import nudge
from eventsinks.limits.shared_facts import read_facts
from eventsinks.models.database import sql
from eventsinks.models.database.unavailable import find_reason, recent_reason

STATES = {"type": "string", "description": "`ok`, or what is wrong"}
READY = {
    "type": "object",
    "required": ["status", "database", "broker"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "unavailable"], "description": "whether it can work"},
        "database": STATES,
        "broker": STATES,
    },
}
ALIVE = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string", "enum": ["ok"], "description": "always the same"}},
}
METRICS = {"text/plain": {"schema": {"type": "string"}}}
NOT_FOR_US = {"400": {"description": "The Host header names another server."}}
# The operations of the schema for the paths that need no key.
OPERATIONS: dict[str, dict[str, Any]] = {
    "/healthz": {
        "operationId": "health_live",
        "summary": "Say that the process lives",
        "description": "Asks neither the database nor the broker.",
        "responses": {
            "200": {"description": "It lives.", "content": {"application/json": {"schema": ALIVE}}},
            "405": {"description": "Only GET and HEAD are taken."},
        },
    },
    "/readyz": {
        "operationId": "health_ready",
        "summary": "Say whether the server can work",
        "description": "It can without the broker: events are accepted, and sent when the broker is back.",
        "responses": {
            "200": {"description": "It can.", "content": {"application/json": {"schema": READY}}},
            "503": {
                "description": "The database can't be written.",
                "content": {"application/json": {"schema": READY}},
            },
            **NOT_FOR_US,
        },
    },
    "/metrics": {
        "operationId": "health_metrics",
        "summary": "Get the metrics",
        "description": "Written for Prometheus.",
        "responses": {"200": {"description": "The metrics.", "content": METRICS}, **NOT_FOR_US},
    },
}
MET_WITHIN = 10.0  # seconds for which what a request has met counts


@csrf_exempt
@require_safe
def answer_readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the database accepts writes and the broker can be reached. 503 if the database does not.

    Events are accepted even without the broker. The sweep finds them when the broker is back.
    """
    checks = {"database": check_database(), "broker": check_broker()}
    ready = checks["database"] == "ok"
    body = dumps({"status": "ok" if ready else "unavailable", **checks})
    return HttpResponse(body, status=200 if ready else 503, content_type="application/json")


@csrf_exempt
@require_safe
def answer_metrics(request: HttpRequest) -> HttpResponse:
    """Answer the metrics for Prometheus: what this web server counts, and what the account found out for all."""
    content, content_type = telemetry.write_exposition()
    return HttpResponse(content + read_facts(), content_type=content_type)


def check_database() -> str:
    """Return "ok", or what is wrong. The check is a write that changes nothing.

    Only a request that adds data notices a full disk. The check reports it for a while after such a request.
    """
    try:
        with sql.wait_shortly(), connection.cursor() as cursor:
            cursor.execute("UPDATE eventsinks_canary SET id = id WHERE 1 = 0")
    except Error as error:  # InterfaceError is no DatabaseError
        if sql.is_locked(error):
            return "ok"  # somebody writes
        return find_reason(error) or type(error).__name__
    return recent_reason(MET_WITHIN) or "ok"


def check_broker() -> str:
    """Return "ok", or what is wrong."""
    try:
        nudge.get_client().ping()
    except redis.RedisError as error:
        return type(error).__name__
    return "ok"
