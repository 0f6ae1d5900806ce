"""The ASGI application: reads a request whole, gives it to the door, and hands the answer over whole."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from eventsinks.front.answers import CLOSE, JSON, Answer, Door, Gone, Headers, Refusal, Request, problem
from eventsinks.front.body import Bodies, Receive, has_body
from eventsinks.front.callers import Callers, client_of
from eventsinks.front.connections import Connections
from eventsinks.front.counts import HELD, READING, refusals
from eventsinks.front.limits import Limits
from eventsinks.front.readers import Readers
from eventsinks.front.threads import nobody_left
from eventsinks.lib.net.proxies import Proxies
from eventsinks.lib.request_id import request_id_of

Scope = MutableMapping[str, Any]
ByName = dict[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)

HEALTHY = b'{"status":"ok"}'
REQUEST_ID = b"x-request-id"
UNPACKED = (b"content-encoding", b"content-length", b"transfer-encoding", REQUEST_ID)  # said anew below


class Front:
    """What stands before `door`. `proxies` are believed when they say who asks."""

    def __init__(self, limits: Limits, proxies: Proxies, door: Door) -> None:
        self.limits = limits
        self.connections = Connections(limits)
        self._door, self._proxies = door, proxies
        self._callers = Callers()
        self._readers = Readers(limits)
        self._bodies = Bodies(limits, self._readers)
        READING.set_function(lambda: self._readers.count)
        HELD.set_function(lambda: self._readers.bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await live(receive, send)
        if scope["type"] != "http":
            return
        headers = joined(scope["headers"])
        request_id = request_id_of(headers.get(REQUEST_ID, b"").decode("latin1"))
        came = Came()
        try:
            answer = await self._answer(scope, headers, request_id, came.watching(receive, headers))
        except Gone:
            return
        except Refusal as refusal:
            answer = refusal.answer
            refusals.add(refusal.reason, answer.status, self._peer(scope, headers))
        except Exception:
            log.exception("unanswered: request_id=%s", request_id)
            answer = Answer(500, [JSON], problem(500, "internal", "internal server error"))
        await write(send, answer, request_id, [] if came.whole else [CLOSE])

    async def _answer(self, scope: Scope, headers: ByName, request_id: str, receive: Receive) -> Answer:
        if scope["path"] == "/healthz":
            return healthy(scope["method"])
        peer = self._peer(scope, headers)
        with self._readers.hold(self._callers.caller_of(headers, peer)) as hold:
            body = await self._bodies.read(headers, receive, hold)
            told = {**scope, "headers": plain(scope["headers"], has_body(headers), body, request_id)}
            gone = scope.get("extensions", {}).get("gone", nobody_left)
            answer = await self._door(Request(told, body, peer, hold.caller, request_id, gone))
        self._callers.answered(headers, scope["path"], answer.status)
        return answer

    def _peer(self, scope: Scope, headers: ByName) -> str:
        return self._proxies.client_of(client_of(scope), headers.get(b"x-forwarded-for", b""))


class Came:
    """Knows whether a request's body has come whole."""

    def __init__(self) -> None:
        self.whole = False

    def watching(self, receive: Receive, headers: ByName) -> Receive:
        """Return `receive`, watched."""
        self.whole = not has_body(headers)

        async def watched() -> Any:
            message = await receive()
            self.whole = not message.get("more_body", False)
            return message

        return watched


def joined(headers: Headers) -> ByName:
    """Return headers by name; what is said several times, with commas."""
    found: ByName = {}
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found


def plain(headers: Headers, has_body: bool, body: bytes, request_id: str) -> Headers:
    """Return the headers of a request that came in one piece, as it was meant."""
    kept = [(name, value) for name, value in headers if name not in UNPACKED]
    length = [(b"content-length", str(len(body)).encode())] if has_body else []
    return [*kept, *length, (REQUEST_ID, request_id.encode())]


def healthy(method: str) -> Answer:
    """Return that this process lives. Asks nobody."""
    if method in ("GET", "HEAD"):
        return Answer(200, [JSON], HEALTHY)
    allow = (b"allow", b"GET, HEAD")
    return Answer(405, [JSON, allow], problem(405, "method_not_allowed", "method not allowed"))


async def write(send: Send, answer: Answer, request_id: str, more: Headers) -> None:
    """Hand an answer to the event loop, whole."""
    headers = [*answer.headers, *more]
    names = {name for name, _ in headers}
    if REQUEST_ID not in names:
        headers.append((REQUEST_ID, request_id.encode()))
    if b"content-length" not in names and answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to begin and nothing to end."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
