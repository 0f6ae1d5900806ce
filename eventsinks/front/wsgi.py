"""WSGI: passes a whole request to an application, and returns its whole answer. The client waits outside.

We do not use a2wsgi: it passes the answer on piece by piece, and its thread waits for the client to read each
piece.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import StartResponse, WSGIApplication

from eventsinks.front.answers import WholeAnswer, WholeRequest
from eventsinks.lib.request_id import ABOUT

# WSGI wants repeated headers joined. A name with an underscore is dropped: it could pass for another header.
JOINED = {"HTTP_COOKIE": "; "}
OWN_NAMES = {"HTTP_CONTENT_LENGTH": "CONTENT_LENGTH", "HTTP_CONTENT_TYPE": "CONTENT_TYPE"}


def call_application(application: WSGIApplication, request: WholeRequest) -> WholeAnswer:
    """Return the whole answer of a WSGI application. Raises any error of the application."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = [(status, headers)]
        return written.append

    environ = make_environ(request)
    pieces = application(environ, split_start(start))
    body = b"".join(written) + join_body(pieces)
    status, headers = started[0]
    return WholeAnswer(int(status[:3]), encode_headers(headers), body, environ[ABOUT])


def split_start(start: Any) -> StartResponse:
    """Return `start` with the type that WSGI gives it."""
    return start  # type: ignore[no-any-return]


def join_body(pieces: Iterable[bytes]) -> bytes:
    """Return a whole body, and close it: this ends the request for Django."""
    try:
        return b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def encode_headers(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as bytes, their names in lower case."""
    return [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in headers]


def make_environ(request: WholeRequest) -> dict[str, Any]:
    """Return the request as WSGI's environ. The body has a length, and is neither chunked nor compressed."""
    scope = request.scope
    host, port = scope.get("server") or ("localhost", 80)
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": decode_path(scope),
        "QUERY_STRING": scope["query_string"].decode("latin1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": str(host),
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": request.peer,
        **request.more,
        ABOUT: {},
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **name_headers(scope["headers"]),
    }


def decode_path(scope: Any) -> str:
    """Return the path, decoded once, each byte as a character."""
    raw = scope.get("raw_path")
    return (scope["path"].encode() if raw is None else unquote_to_bytes(raw)).decode("latin1")


def name_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers with WSGI's names."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin1")
        if "_" in name:
            continue
        key = f"HTTP_{name.upper().replace('-', '_')}"
        key = OWN_NAMES.get(key, key)
        text = value.decode("latin1")
        found[key] = f"{found[key]}{JOINED.get(key, ',')}{text}" if key in found else text
    return found
