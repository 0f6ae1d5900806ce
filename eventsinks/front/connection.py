"""One connection: uvicorn's HTTP protocol, with a deadline and bounds for heads, and for clients that do not read.

uvicorn itself waits without end for the rest of a head, has no bound on heads, and takes text after a body for
headers.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from eventsinks.front.answers import CLOSE, Refusal, WholeAnswer, refuse_bad_request, refuse_slow
from eventsinks.front.application import REQUEST_ID, Front
from eventsinks.front.counts import refusals
from eventsinks.front.head import HeadSize, check_head
from eventsinks.front.limits import HEAD_BYTES, LINGER, OVERHEAD, PIPELINED
from eventsinks.lib.request_id import choose_request_id

LOOK = 1.0  # seconds between two checks whether a client reads


class Connection(HttpToolsProtocol):
    """A connection to a `Front`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.front = cast(Front, self.app)
        self.peer = self.client[0] if self.client else ""
        self.in_head = self.in_body = False
        self._deaf = False  # ignores everything else that comes
        self._ended = False
        self._last_words = b""  # written after the answers to earlier requests
        self._current: RequestResponseCycle | None = None  # the request that is being answered, or was last
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None
        self._reads_since = 0.0
        self.head = HeadSize()
        self._wire = self._payload = 0  # bytes of the body: on the wire, and without framing
        self.front.connections.add(self)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self.front.connections.remove(self)
        self._stop_head_timer()
        if self._reading_timer is not None:
            self._reading_timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    # --- What comes in

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client. An invalid request is refused, and ends the connection."""
        if self._deaf:
            return
        self._wire += len(data)
        try:
            self.parser.feed_data(data)
            self._check_size()
        except Refusal as refusal:
            self._refuse(refusal)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            inner = error.__context__
            self._refuse(
                inner if isinstance(inner, Refusal) else refuse_bad_request("this is no proper HTTP request")
            )
        if self.in_head and not self._deaf and self._head_timer is None:
            self._await_head()

    def _check_size(self) -> None:
        """Raise Refusal for an endless head, and for a chunked body that is mostly framing."""
        if self.in_head and self._wire > HEAD_BYTES:
            raise HeadSize.refusal()
        if self.in_body and self._wire > HEAD_BYTES + OVERHEAD * self._payload:
            raise refuse_bad_request("the body's chunks are too small for their framing")

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self.in_head, self.head, self._wire = True, HeadSize(), 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL. Raises Refusal."""
        self.head.add_url(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and ignore those after a chunked body. Raises Refusal."""
        self.head.add_header(len(name) + len(value))
        if self.in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer. Raises Refusal for a request that could be read in two ways."""
        self._stop_head_timer()
        check_head(self.headers, self.parser.get_http_version(), upgrades=self.parser.should_upgrade())
        if len(self.pipeline) >= PIPELINED:
            raise refuse_bad_request(f"more than {PIPELINED} requests wait for an answer")
        super().on_headers_complete()
        self.in_head, self.in_body, self._wire, self._payload = False, True, 0, 0
        self.front.connections.is_busy(self)
        cycle = self.cycle
        self.scope["extensions"] = {  # what the front may ask of a connection, beside ASGI
            "gone": self.transport.is_closing,  # type: ignore[dict-item]
            "whole": lambda: not cycle.more_body,  # type: ignore[dict-item]
            "write": lambda answer: self._write_whole(cycle, answer),  # type: ignore[dict-item]
        }
        cycle.transport = cast(asyncio.Transport, Ending(self))

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._payload += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self.in_body = False
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.front.limits.head_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._is_answering():
            self._await_head()
        elif self.in_head:
            self._refuse(refuse_slow("head"))
        else:  # it has sent nothing
            self.transport.close()

    # --- What goes out

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def _is_answering(self) -> bool:
        return self._current is not None and not self._current.response_complete and not self._current.disconnected

    def _refuse(self, refusal: Refusal) -> None:
        """Write a refusal, after the answers to earlier requests."""
        self._deaf = True
        self._stop_head_timer()
        refusals.add(refusal.reason, refusal.answer.status, self.peer)
        if self.in_body:
            self._drop(self.cycle)
        self._last_words = self._written(refusal.answer)
        if not self._is_answering():
            self._say_last_words()

    def _drop(self, broken: RequestResponseCycle) -> None:
        """Make sure that nobody answers a request whose body is broken."""
        broken.disconnected = True
        broken.message_event.set()
        if self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()

    def _say_last_words(self) -> None:
        self.transport.write(self._last_words)
        self._linger()
        self._watch_reading()

    def _written(self, answer: WholeAnswer) -> bytes:
        length = (b"content-length", b"%d" % len(answer.body))
        own = [*answer.headers, length, (REQUEST_ID, choose_request_id("").encode())]
        own += [] if CLOSE in own else [CLOSE]
        lines = [b"%s: %s\r\n" % header for header in [*self.server_state.default_headers, *own]]
        return b"".join([STATUS_LINE[answer.status], *lines, b"\r\n", answer.body])

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self._watch_reading()
        if self._ended:
            self.server_state.total_requests += 1
        elif self._last_words and not self.pipeline:
            self._say_last_words()
        else:
            super().on_response_complete()
            if not self._is_answering():
                self.front.connections.is_idle(self)

    def end(self) -> None:
        """Close the connection when everything is written. A client that still sends first gets time to read."""
        if self.in_body:
            self._linger()
        else:
            self._ended = True
            self.transport.close()

    def _write_whole(self, cycle: RequestResponseCycle, answer: WholeAnswer) -> None:
        """Write an answer in one piece, as `cycle.send` does in two. Nothing if the client has left."""
        if cycle.disconnected:
            return
        names = {name for name, _ in answer.headers}
        cycle.keep_alive = cycle.keep_alive and CLOSE not in answer.headers
        headers = [*self.server_state.default_headers, *answer.headers]
        headers += [] if cycle.keep_alive or b"connection" in names else [CLOSE]
        lines = [b"%s: %s\r\n" % header for header in headers]
        has_body = cycle.scope["method"] != "HEAD" and answer.status not in (204, 304)
        whole = [STATUS_LINE[answer.status], *lines, b"\r\n", answer.body if has_body else b""]
        self.transport.write(b"".join(whole))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.end()
        cycle.on_response()

    def is_ended(self) -> bool:
        """Whether nothing more will be written."""
        return self._ended or self.transport.is_closing()

    def _linger(self) -> None:
        self._ended = self._deaf = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as we write."""
        super().pause_writing()
        self._watch_reading()

    def _watch_reading(self) -> None:
        if self._reading_timer is None and self.transport.get_write_buffer_size():
            self._reads_since = self.loop.time()
            self._look_at_reading()

    def _look_at_reading(self) -> None:
        """Check whether the client has read everything. Cut off a client that takes too long."""
        self._reading_timer = None
        unread = self.transport.get_write_buffer_size()
        self.front.connections.is_unread(self, unread)
        if not unread:
            return
        if self.loop.time() - self._reads_since > self.front.limits.answer_seconds:
            refusals.add("slow_reader", 0, self.peer)
            self.transport.abort()
        else:
            self._reading_timer = self.loop.call_later(LOOK, self._look_at_reading)


class Ending:
    """The transport that a request sees. Only the connection may close it."""

    def __init__(self, connection: Connection) -> None:
        self.write = connection.transport.write
        self.close = connection.end
        self.is_closing = connection.is_ended
