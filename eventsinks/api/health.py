"""Whether this server can work, and its metrics. Whether it lives, `/healthz`, is for the front to say."""

from __future__ import annotations

import redis
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from eventsinks import telemetry
from eventsinks.actions import nudge
from eventsinks.api.json import dumps


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the database and the broker can be reached; 503 without the database.

    Without the broker events are still accepted, and found by the sweep once it is back.
    """
    checks = {"database": database(), "broker": broker()}
    ready = checks["database"] == "ok"
    body = dumps({"status": "ok" if ready else "unavailable", **checks})
    return HttpResponse(body, status=200 if ready else 503, content_type="application/json")


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the metrics for Prometheus."""
    content, content_type = telemetry.exposition()
    return HttpResponse(content, content_type=content_type)


def database() -> str:
    """Return "ok", or what is wrong."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:  # InterfaceError is no DatabaseError
        return type(error).__name__
    return "ok"


def broker() -> str:
    """Return "ok", or what is wrong."""
    try:
        nudge.flags().ping()
    except redis.RedisError as error:
        return type(error).__name__
    return "ok"
