"""Requests to a reverse proxy in ECS: https://www.elastic.co/docs/reference/ecs/ecs-http."""

from __future__ import annotations

from typing import Any

from eventsinks.event_types.documents import said
from eventsinks.mappings.base import Document, left
from eventsinks.mappings.ocsf import version_of
from eventsinks.mappings.ocsf_proxy import TAKEN


def access(document: Document) -> dict[str, Any]:
    """Return what was asked for, by whom, and how it was answered."""
    status = document.get("status_code") or None
    went_well = 200 <= (status or 200) < 400  # what has no status is no HTTP
    took, address = document.get("duration_ms"), said(document, "source_ip")
    path, _, query = said(document, "path").partition("?")
    ip = address if version_of(address) else ""
    return {
        "message": f"{said(document, 'method')} {said(document, 'host')}{path}".strip(),
        "event": {
            "kind": "event",
            "category": ["web"],
            "type": ["access"],
            "action": "proxy-request",
            "outcome": "success" if went_well else "failure",
            "reason": said(document, "reason"),
            "duration": took * 1_000_000 if took is not None and took < 2**43 else None,  # nanoseconds, in 64 bits
        },
        "http": {
            "request": {"method": said(document, "method"), "bytes": document.get("bytes_upload")},
            "response": {"status_code": status, "bytes": document.get("bytes_download")},
        },
        "url": {"domain": said(document, "host"), "path": path, "query": query},
        "source": {
            "address": address,
            "ip": ip,
            "geo": {
                "city_name": said(document, "city_name"),
                "country_iso_code": said(document, "country_code"),
            },
        },
        "user": {name: said(document, f"user_{name}") for name in ("id", "name", "email")},
        "service": {"id": said(document, "service_id")},
        "observer": {"vendor": "NetBird", "type": "proxy"},
        "related": {"ip": [ip] if ip else [], "hosts": [said(document, "host")]},
        "rest": left(document, *TAKEN),
    }
