"""Whole requests, whole answers, and the front's refusals, whose body fits both wire formats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """A request that has arrived completely. `scope` is ASGI's, without Content-Encoding. `body` is inflated."""

    scope: Mapping[str, Any]
    body: bytes
    peer: str  # the real client's address
    caller: str  # a key, a session or an address; all requests of one caller share the bounds
    request_id: str
    is_gone: Callable[[], bool]  # whether the client has hung up
    more: Mapping[str, Any] = field(default_factory=dict)  # what the door tells Django of it, in the environ


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A whole answer. Header names are lower case. `about` is what the log line of the request says beside it."""

    status: int
    headers: Headers
    body: bytes
    about: Mapping[str, Any] | None = None


Door = Callable[[WholeRequest], Awaitable[WholeAnswer]]


class Gone(Exception):
    """The client hung up, so nobody waits for an answer."""


class Refusal(Exception):
    """A refusal by the front. `reason` is the label under which it is counted, one of a few words."""

    def __init__(self, status: int, code: str, message: str, reason: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.answer = WholeAnswer(status, [JSON, *(headers or [])], make_problem(status, code, message))


def make_problem(status: int, code: str, message: str) -> bytes:
    """Return an error's body, with the fields that a client of /v1 expects and those that one of /api expects."""
    error = {"code": code, "message": message, "fields": []}
    return orjson.dumps({"error": error, "message": message, "code": status})


def refuse_bad_request(message: str, reason: str = "malformed") -> Refusal:
    """Return the refusal of an invalid request."""
    return Refusal(400, "bad_request", message, reason)


def refuse_slow(what: str) -> Refusal:
    """Return the refusal of a request that came too slowly, or that had to give way to others."""
    return Refusal(408, "timeout", f"the {what} did not come in time", f"slow_{what}", [CLOSE])


def refuse_large(limit: int) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal(413, "too_large", f"the body is larger than {limit} bytes", "too_large")


def refuse_internal() -> Refusal:
    """Return the refusal of a request that met a fault of ours."""
    return Refusal(500, "internal", "internal server error", "internal")


def refuse_unavailable(why: str) -> Refusal:
    """Return the refusal of a request while the database accepts nothing."""
    return Refusal(503, "unavailable", f"{why}; try again", "database", [(b"retry-after", b"1")])


def refuse_busy(reason: str) -> Refusal:
    """Return the refusal of a request for which there is no capacity now."""
    return Refusal(
        503, "unavailable", "the server has too much to do; try again", reason, [(b"retry-after", b"1")]
    )
