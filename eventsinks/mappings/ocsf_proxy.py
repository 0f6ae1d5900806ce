"""Requests to a reverse proxy in OCSF: HTTP Activity, https://schema.ocsf.io/1.3.0/classes/http_activity."""

from __future__ import annotations

from typing import Any

from eventsinks.event_types.documents import read_text
from eventsinks.mappings.base import Document, list_left

# a method: (activity_id, its name)
METHODS = {
    name.upper(): (number, name)
    for number, name in enumerate(("Connect", "Delete", "Get", "Head", "Options", "Post", "Put", "Trace"), 1)
}
# The parts of a request that have a field.
TAKEN = (
    *(
        "id",
        "service_id",
        "timestamp",
        "method",
        "host",
        "path",
        "duration_ms",
        "status_code",
        "source_ip",
        "reason",
    ),
    *("user_id", "user_email", "user_name", "country_code", "city_name"),
)


def map_http_activity(document: Document) -> dict[str, Any]:
    """Return a request and its answer as HTTP Activity."""
    activity_id, activity_name = METHODS.get(read_text(document, "method").upper(), (99, "Other"))
    status = document.get("status_code") or None
    went_well = 200 <= (status or 200) < 400  # without a status it is not HTTP
    path, _, query = read_text(document, "path").partition("?")
    return {
        "category_uid": 4,
        "category_name": "Network Activity",
        "class_uid": 4002,
        "class_name": "HTTP Activity",
        "activity_id": activity_id,
        "activity_name": activity_name,
        "severity_id": 1,
        "severity": "Informational",
        "status_id": 1 if went_well else 2,
        "status": "Success" if went_well else "Failure",
        "status_detail": read_text(document, "reason"),
        "message": f"{read_text(document, 'method')} {read_text(document, 'host')}{path}".strip(),
        "http_request": {
            "http_method": read_text(document, "method"),
            "url": {"hostname": read_text(document, "host"), "path": path, "query_string": query},
        },
        "http_response": {"code": status, "latency": document.get("duration_ms")},
        "traffic": {"bytes_in": document.get("bytes_download"), "bytes_out": document.get("bytes_upload")},
        "src_endpoint": {
            "ip": read_text(document, "source_ip"),
            "location": {"city": read_text(document, "city_name"), "country": read_text(document, "country_code")},
            "owner": {
                "uid": read_text(document, "user_id"),
                "name": read_text(document, "user_name"),
                "email_addr": read_text(document, "user_email"),
            },
        },
        "dst_endpoint": {"hostname": read_text(document, "host"), "svc_name": read_text(document, "service_id")},
        "rest": list_left(document, *TAKEN),
    }
