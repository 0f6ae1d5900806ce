"""A far end on this machine: a small HTTP server in a thread, that answers as a test says."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

REASONS = {200: "OK", 302: "Found", 401: "Unauthorized", 410: "Gone", 429: "Too Many Requests"}


class Got(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name):
        """Return the value of a header that must be there once."""
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return value


def answer(status: int = 200, headers: Sequence[tuple[str, str]] = (), body: bytes = b"ok") -> bytes:
    """Return the bytes of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def hang(receiver):
    """Answer nothing until the receiver lets go."""

    async def wait(reader, writer):
        receiver.hanging += 1
        await receiver.let_go.wait()
        writer.write(answer())

    return wait


def lose(reader, writer):
    """Drop the connection without an answer."""
    writer.transport.abort()


class Receiver:
    """`answers(got)` returns the bytes to send, or a function (maybe async) of (reader, writer)."""

    def __init__(self, answers=lambda got: answer(), tls: ssl.SSLContext | None = None, host="127.0.0.1"):
        self.answers, self.host = answers, host
        self.got: list[Got] = []
        self.hanging = 0
        self.connections = 0
        self._tls = tls
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        """Return where it listens."""
        return f"{'https' if self._tls else 'http'}://{host or self.host}:{self.port}{path}"

    def release(self):
        """Let go of all that hang."""
        self._loop.call_soon_threadsafe(self.let_go.set)

    def ids(self, path=None):
        """Return how often each webhook-id came."""
        return Counter(got.header("webhook-id") for got in self.got if path in (None, got.path))

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._stop, self.let_go = asyncio.Event(), asyncio.Event()
        self._open: set[asyncio.Task] = set()
        server = await asyncio.start_server(
            self._connection, self.host, 0, ssl=self._tls, backlog=2048, limit=2**22
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connection(self, reader, writer):
        self._open.add(asyncio.current_task())
        self.connections += 1
        number = self.connections
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(asyncio.current_task())
            writer.transport.abort()

    async def _exchange(self, reader, writer, number):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        lines = (line.partition(":") for line in head[1:] if line)
        headers = [(name.strip(), value.strip()) for name, _, value in lines]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(length)
        got = Got(method, path, headers, body, number)
        self.got.append(got)
        what = self.answers(got)
        if isinstance(what, bytes):
            writer.write(what)
        elif (result := what(reader, writer)) is not None:
            await result
        await writer.drain()
        return not writer.is_closing()
