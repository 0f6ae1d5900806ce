"""The ASGI application: reads a whole request, passes it to the door, and writes the whole answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from eventsinks.front.answers import (
    CLOSE,
    JSON,
    Door,
    Gone,
    Headers,
    Refusal,
    WholeAnswer,
    WholeRequest,
    make_problem,
    refuse_internal,
)
from eventsinks.front.body import Bodies, Receive, has_body
from eventsinks.front.callers import Callers, get_client
from eventsinks.front.connections import Connections
from eventsinks.front.counts import HELD, READING, refusals
from eventsinks.front.limits import FrontLimits
from eventsinks.front.readers import Readers
from eventsinks.front.threads import never_left
from eventsinks.lib.net.proxies import Proxies
from eventsinks.lib.request_id import choose_request_id

Scope = MutableMapping[str, Any]
ByName = dict[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)

HEALTHY = b'{"status":"ok"}'
REQUEST_ID = b"x-request-id"
LONGEST_PATH = 200  # characters of it in the log
UNPACKED = (b"content-encoding", b"content-length", b"transfer-encoding", REQUEST_ID)  # set again below


class Front:
    """The front before `door`. `proxies` are trusted to name the client. `note` hears of each answered request."""

    def __init__(
        self,
        limits: FrontLimits,
        proxies: Proxies,
        door: Door,
        note: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.limits = limits
        self._note = note
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
            await answer_lifespan(receive, send)
        if scope["type"] != "http":
            return
        headers = join_headers(scope["headers"])
        request_id = choose_request_id(headers.get(REQUEST_ID, b"").decode("latin1"))
        came, began = Came(), time.monotonic()
        peer = self._peer(scope, headers)
        try:
            answer = await self._answer(scope, headers, request_id, peer, came.watching(receive, headers))
        except Gone:
            return
        except Refusal as refusal:
            answer = refusal.answer
            refusals.add(refusal.reason, answer.status, peer)
        except Exception:
            log.exception("unanswered: request_id=%s", request_id)
            answer = refuse_internal().answer
        about = answer.about
        answer = complete_headers(answer, request_id, [] if came.whole else [CLOSE])
        if self._note is not None and scope["path"] != "/healthz":
            self._note(describe(scope, request_id, peer, answer.status, time.monotonic() - began, about))
        if write := scope.get("extensions", {}).get("write"):
            write(answer)
        else:
            await send_answer(send, answer)

    async def _answer(
        self, scope: Scope, headers: ByName, request_id: str, peer: str, receive: Receive
    ) -> WholeAnswer:
        if scope["path"] == "/healthz":
            return answer_healthz(scope["method"])
        with self._readers.hold(self._callers.caller_of(headers, peer)) as hold:
            extensions = scope.get("extensions", {})
            has_come = extensions.get("whole", never_left)
            body = await self._bodies.read(headers, receive, hold, has_come=has_come())
            told = {**scope, "headers": strip_headers(scope["headers"], has_body(headers), body, request_id)}
            gone = extensions.get("gone", never_left)
            answer = await self._door(WholeRequest(told, body, peer, hold.caller, request_id, gone))
        self._callers.answered(headers, scope["path"], answer.status)
        return answer

    def _peer(self, scope: Scope, headers: ByName) -> str:
        return self._proxies.client_of(get_client(scope), headers.get(b"x-forwarded-for", b""))


def describe(
    scope: Scope, request_id: str, peer: str, status: int, seconds: float, about: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the log line of a request says. A path has no secrets; a query may, and is left out."""
    return {
        "request_id": request_id,
        "method": scope["method"],
        "path": scope["path"][:LONGEST_PATH],
        "status": status,
        "ms": int(seconds * 10_000) / 10,
        "peer": peer,
        **(about or {}),
    }


class Came:
    """Knows whether the whole body of a request has arrived."""

    def __init__(self) -> None:
        self.whole = False

    def watching(self, receive: Receive, headers: ByName) -> Receive:
        """Return a `receive` that watches the body."""
        self.whole = not has_body(headers)

        async def watched() -> Any:
            message = await receive()
            self.whole = not message.get("more_body", False)
            return message

        return watched


def join_headers(headers: Headers) -> ByName:
    """Return headers by name. Join the values of a repeated one with commas."""
    found: ByName = {}
    for name, value in headers:
        found[name] = found[name] + b"," + value if name in found else value
    return found


def strip_headers(headers: Headers, has_body: bool, body: bytes, request_id: str) -> Headers:
    """Return the headers of a request as if its body had come in one piece, without encoding."""
    kept = [(name, value) for name, value in headers if name not in UNPACKED]
    length = [(b"content-length", str(len(body)).encode())] if has_body else []
    return [*kept, *length, (REQUEST_ID, request_id.encode())]


def answer_healthz(method: str) -> WholeAnswer:
    """Return that this process is alive, without asking anything else."""
    if method in ("GET", "HEAD"):
        return WholeAnswer(200, [JSON], HEALTHY)
    allow = (b"allow", b"GET, HEAD")
    return WholeAnswer(405, [JSON, allow], make_problem(405, "method_not_allowed", "method not allowed"))


def complete_headers(answer: WholeAnswer, request_id: str, more: Headers) -> WholeAnswer:
    """Return an answer with `more` headers, the request's id and its length."""
    headers = [*answer.headers, *more]
    names = {name for name, _ in headers}
    if REQUEST_ID not in names:
        headers.append((REQUEST_ID, request_id.encode()))
    if b"content-length" not in names and answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return WholeAnswer(answer.status, headers, answer.body)


async def send_answer(send: Send, answer: WholeAnswer) -> None:
    """Hand a whole answer to a server that knows only ASGI."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


async def answer_lifespan(receive: Receive, send: Send) -> None:
    """Answer ASGI's lifespan: there is nothing to start or stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
