"""Whole requests and whole answers, and how the front says no: in the shapes of both wire formats at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """A request that has come whole. `scope` is ASGI's, without Content-Encoding; `body` is inflated."""

    scope: Mapping[str, Any]
    body: bytes
    peer: str  # the true client's address
    caller: str  # who shares the bounds with whom: a key, a session or an address
    request_id: str
    is_gone: Callable[[], bool]  # whether the client has hung up


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer, whole. Header names are lower case."""

    status: int
    headers: Headers
    body: bytes


Door = Callable[[WholeRequest], Awaitable[WholeAnswer]]


class Gone(Exception):
    """The client hung up: there is nobody to answer."""


class Refusal(Exception):
    """The front's own no. `reason` is what it is counted as: one of a few words."""

    def __init__(self, status: int, code: str, message: str, reason: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.answer = WholeAnswer(status, [JSON, *(headers or [])], make_problem(status, code, message))


def make_problem(status: int, code: str, message: str) -> bytes:
    """Return an error's body, in which a client of /v1 and one of /api both find what they look for."""
    error = {"code": code, "message": message, "fields": []}
    return orjson.dumps({"error": error, "message": message, "code": status})


def refuse_bad_request(message: str, reason: str = "malformed") -> Refusal:
    """Return the refusal of what is no proper request."""
    return Refusal(400, "bad_request", message, reason)


def refuse_slow(what: str) -> Refusal:
    """Return the refusal of what did not come in time, or made place for others."""
    return Refusal(408, "timeout", f"the {what} did not come in time", f"slow_{what}", [CLOSE])


def refuse_large(limit: int) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal(413, "too_large", f"the body is larger than {limit} bytes", "too_large")


def refuse_busy(reason: str) -> Refusal:
    """Return the refusal of what there is no room for now."""
    return Refusal(
        503, "unavailable", "the server has too much to do; try again", reason, [(b"retry-after", b"1")]
    )
