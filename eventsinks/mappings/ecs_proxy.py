"""Requests to a reverse proxy in ECS: https://www.elastic.co/docs/reference/ecs/ecs-http."""

from __future__ import annotations

from typing import Any

from eventsinks.event_types.documents import read_text
from eventsinks.mappings.base import Document, list_left
from eventsinks.mappings.ocsf import find_ip_version
from eventsinks.mappings.ocsf_proxy import TAKEN


def map_access(document: Document) -> dict[str, Any]:
    """Return a request and its answer in ECS."""
    status = document.get("status_code") or None
    went_well = 200 <= (status or 200) < 400  # without a status it is not HTTP
    took, address = document.get("duration_ms"), read_text(document, "source_ip")
    path, _, query = read_text(document, "path").partition("?")
    ip = address if find_ip_version(address) else ""
    return {
        "message": f"{read_text(document, 'method')} {read_text(document, 'host')}{path}".strip(),
        "event": {
            "kind": "event",
            "category": ["web"],
            "type": ["access"],
            "action": "proxy-request",
            "outcome": "success" if went_well else "failure",
            "reason": read_text(document, "reason"),
            "duration": took * 1_000_000 if took is not None and took < 2**43 else None,  # nanoseconds, in 64 bits
        },
        "http": {
            "request": {"method": read_text(document, "method"), "bytes": document.get("bytes_upload")},
            "response": {"status_code": status, "bytes": document.get("bytes_download")},
        },
        "url": {"domain": read_text(document, "host"), "path": path, "query": query},
        "source": {
            "address": address,
            "ip": ip,
            "geo": {
                "city_name": read_text(document, "city_name"),
                "country_iso_code": read_text(document, "country_code"),
            },
        },
        "user": {name: read_text(document, f"user_{name}") for name in ("id", "name", "email")},
        "service": {"id": read_text(document, "service_id")},
        "observer": {"vendor": "NetBird", "type": "proxy"},
        "related": {"ip": [ip] if ip else [], "hosts": [read_text(document, "host")]},
        "rest": list_left(document, *TAKEN),
    }
