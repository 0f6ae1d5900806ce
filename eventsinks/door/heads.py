"""Heads: which requests the door may take, and the headers of their answers.

The headers are those that Django gave to the first such request. So a host that is not allowed, a redirect to TLS
or a media type that is refused never reach the door: Django did not answer 200 to the first one.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventsinks.api.media_types import Shape, choose_shape
from eventsinks.door.endpoints import ENDPOINTS, Endpoint
from eventsinks.front.answers import Headers, WholeAnswer

KEY = re.compile(rb"(?:bearer|token) (es_[A-Za-z0-9_-]{43})", re.IGNORECASE)
# What an answer depends on, beside the body and the key. With a cookie, Django answers.
DECIDING = (b"host", b"content-type", b"accept", b"x-forwarded-proto", b"x-forwarded-host")
KNOWN = 1_000  # kinds of heads that are remembered

HeadKind = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request that the door may take, if Django has answered one of its kind."""

    kind: HeadKind
    endpoint: Endpoint
    key: str  # the text of the API key
    content_type: str

    @property
    def shape(self) -> Shape:
        """How the body is to be read. Raises UnsupportedMediaType."""
        return choose_shape(self.content_type)


def read_head(scope: Mapping[str, Any]) -> Head | None:
    """Return the head of a POST of events with an API key, None for every other request."""
    endpoint = ENDPOINTS.get(scope["path"])
    if endpoint is None or scope["method"] != "POST" or scope["query_string"]:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name == b"cookie" or (name in found and (name in DECIDING or name == b"authorization")):
            return None
        found[name] = value
    key = KEY.fullmatch(found.get(b"authorization", b""))
    if key is None:
        return None
    kind = (scope["path"], *(found.get(name) for name in DECIDING))
    return Head(kind, endpoint, key[1].decode(), found.get(b"content-type", b"").decode("latin1"))


class KnownHeads:
    """The kinds of heads that Django has answered 200 to, with the headers of its answer."""

    def __init__(self) -> None:
        self._headers: OrderedDict[HeadKind, Headers] = OrderedDict()

    def __contains__(self, head: Head) -> bool:
        return head.kind in self._headers

    def learn(self, head: Head, answer: WholeAnswer) -> None:
        """Remember the headers of Django's answer."""
        if answer.status == 200:
            self._headers[head.kind] = answer.headers
            if len(self._headers) > KNOWN:
                self._headers.popitem(last=False)

    def make_answer(
        self, head: Head, body: bytes, request_id: str, about: Mapping[str, Any] | None = None
    ) -> WholeAnswer:
        """Return an answer with the headers that Django gives."""
        self._headers.move_to_end(head.kind)
        own = {b"content-length": b"%d" % len(body), b"x-request-id": request_id.encode()}
        headers = [(name, own.get(name, value)) for name, value in self._headers[head.kind]]
        return WholeAnswer(200, headers, body, about)
