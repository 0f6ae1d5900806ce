"""NetBird over HTTP: the same seven fields under the names that NetBird posts, half in Go's style, half in JSON's.

https://docs.netbird.io/manage/activity/event-streaming/generic-http
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from eventsinks.mappings.netbird import NetBird


class NetBirdHttp(NetBird):
    """The format of NetBird's stream over HTTP."""

    key: ClassVar[str] = "netbird_http"
    label: ClassVar[str] = "NetBird over HTTP"
    names: ClassVar[Mapping[str, str]] = {
        "id": "ID",
        "timestamp": "Timestamp",
        "message": "Message",
        "initiator_id": "InitiatorID",
        "target_id": "target_id",
        "meta": "meta",
        "reference": "reference",
    }
