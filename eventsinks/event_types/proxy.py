"""Proxy access: requests that NetBird's reverse proxy served, in the shape of its API (GET /api/events/proxy)."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from eventsinks.event_types.alert_template import AlertTemplate
from eventsinks.event_types.audit import write_timestamp
from eventsinks.event_types.base import Accepted, EventType, Summary
from eventsinks.event_types.documents import (
    Id,
    IndexedText,
    LongText,
    give_id,
    read_document,
    read_moment,
    read_text,
    write_value,
)
from eventsinks.lib.budget import Budget

TEXTS = ("service_id", "method", "host", "path", "source_ip", "reason", "user_id", "auth_method_used")
PLACES = ("country_code", "city_name", "subdivision_code", "protocol")
COUNTS = ("duration_ms", "status_code", "bytes_upload", "bytes_download")
SEARCHED = ("id", "source_ip", "user_email", "user_name")

Unsigned63 = Annotated[int, Field(ge=0, lt=2**63)]


class ProxyData(BaseModel):
    """The fields of a request to the reverse proxy that are checked. Unknown keys stay in the event.

    A connection over TCP or UDP has no method, path or status.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Id | None = Field(None, description="the id of the event; the service makes one if it is absent")
    service_id: IndexedText | None = Field(None, description="the id of the service that served the request")
    timestamp: str | None = Field(None, description="when the request came, in RFC 3339; now if it is absent")
    method: Annotated[str, Field(max_length=32, pattern=r"^[!-~]*$")] | None = Field(
        None, description="the HTTP method"
    )
    host: IndexedText = Field(description="the host that was asked for")
    path: LongText | None = Field(None, description="the path that was asked for")
    duration_ms: Unsigned63 | None = Field(None, description="how many milliseconds the request took")
    status_code: Annotated[int, Field(ge=0, le=999)] | None = Field(
        None, description="the HTTP status of the answer"
    )
    source_ip: IndexedText | None = Field(None, description="the IP address of the client")
    reason: LongText | None = Field(None, description="why the proxy refused the request")
    user_id: IndexedText | None = Field(None, description="the id of the user")
    user_email: IndexedText | None = Field(None, description="the email address of the user")
    user_name: IndexedText | None = Field(None, description="the name of the user")
    auth_method_used: IndexedText | None = Field(None, description="how the user logged in, such as `oidc`")
    country_code: IndexedText | None = Field(
        None, description="the code of the client's country in ISO 3166-1, such as `DE`"
    )
    city_name: LongText | None = Field(None, description="the city of the client")
    subdivision_code: IndexedText | None = Field(
        None, description="the code of the client's state or province in ISO 3166-2"
    )
    bytes_upload: Unsigned63 | None = Field(None, description="the number of bytes that the client sent")
    bytes_download: Unsigned63 | None = Field(None, description="the number of bytes that the client received")
    protocol: IndexedText | None = Field(None, description="the protocol, such as `http` or `tcp`")
    metadata: dict[str, Any] | None = Field(None, description="more facts about it; they are shown as text")


class Proxy(EventType):
    """A request to a service behind the reverse proxy, and the answer."""

    key: ClassVar[str] = "proxy"
    label: ClassVar[str] = "Proxy access"
    Data: ClassVar[type[BaseModel]] = ProxyData
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"method": "GET", "host": "wiki.example.com", "path": "/", "status_code": 200},
        {
            "id": "1",
            "service_id": "service-1",
            "timestamp": "2026-05-04T09:30:00Z",
            "method": "POST",
            "host": "wiki.example.com",
            "path": "/login?next=/",
            "duration_ms": 150,
            "status_code": 403,
            "source_ip": "203.0.113.7",
            "reason": "Authentication failed",
            "user_id": "user-1",
            "user_email": "jo@example.com",
            "user_name": "Jo",
            "auth_method_used": "oidc",
            "country_code": "DE",
            "city_name": "Berlin",
        },
    )

    def accept(self, raw: bytes, tenant_id: uuid.UUID) -> Accepted:
        """Check one request. If it has no id, put one at its front. Every other byte stays."""
        request = read_document(raw, ProxyData)
        key, data = give_id(raw, request, request.id)
        return Accepted(key=key, occurred_at=read_moment(request.timestamp), data=data)

    def summary(
        self, data: Mapping[str, Any], template: AlertTemplate | None = None, budget: Budget | None = None
    ) -> Summary:
        """Return a request for people."""
        rows = [
            ("Status", str(data.get("status_code") or "")),
            ("Reason", read_text(data, "reason")),
            ("From", read_text(data, "source_ip")),
            ("User", read_text(data, "user_email") or read_text(data, "user_name") or read_text(data, "user_id")),
            ("Took", f"{data['duration_ms']} ms" if data.get("duration_ms") is not None else ""),
        ]
        return Summary(
            title=f"{read_text(data, 'method')} {read_text(data, 'host')}{read_text(data, 'path')}".strip(),
            text=f"answered {data['status_code']}" if data.get("status_code") else "",
            severity="Informational",
            source="proxy",
            dedup_key=read_text(data, "id"),
            facts=tuple((label, value) for label, value in rows if value),
            details=data,
        )

    def indexed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns for searching and sorting requests."""
        url = read_text(data, "host") + read_text(data, "path")
        search = "\n".join([url, *(read_text(data, name) for name in SEARCHED)])
        return {
            "source_ip": write_address(read_text(data, "source_ip")),
            "user_id": read_text(data, "user_id"),
            "method": read_text(data, "method").upper(),
            "status_code": data.get("status_code") or 0,
            "duration_ms": data.get("duration_ms") or 0,
            "host": read_text(data, "host").lower(),
            "path": read_text(data, "path").replace("\0", "").lower(),
            "user_email": read_text(data, "user_email").lower(),
            "user_name": read_text(data, "user_name").lower(),
            "auth_method": read_text(data, "auth_method_used"),
            "reason": read_text(data, "reason").replace("\0", "")[:255],
            "search": search.lower().replace("\0", ""),
        }

    def read_back(self, data: Mapping[str, Any], occurred_at: datetime) -> dict[str, Any]:
        """Return `data` with all fields that NetBird's API always returns. Other fields that were sent stay."""
        return {
            **data,
            "id": read_text(data, "id"),
            "timestamp": write_timestamp(data, occurred_at),
            **{name: read_text(data, name) for name in (*TEXTS, *PLACES)},
            **{name: data.get(name) or 0 for name in COUNTS},
            "metadata": {key: write_value(value) for key, value in (data.get("metadata") or {}).items()},
        }


def write_address(text: str) -> str:
    """Return an IP address in its form for searches: the shortest, with IPv4 in IPv6 as IPv4.

    Return other text unchanged.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)
