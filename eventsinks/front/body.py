"""Bodies: reads a whole request body within a deadline and bounds, and inflates it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from eventsinks.front.answers import Gone, Refusal, refuse_bad_request, refuse_large, refuse_slow
from eventsinks.front.inflate import PIECE, Bomb, Corrupt, inflate
from eventsinks.front.limits import FrontLimits
from eventsinks.front.readers import Hold, Readers
from eventsinks.front.threads import Threads

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

INFLATERS = 2  # threads that inflate what the event loop does not inflate itself
TAKEN = {b"gzip", b"x-gzip"}


class Bodies:
    """Reads bodies."""

    def __init__(self, limits: FrontLimits, readers: Readers) -> None:
        self._limits, self._readers = limits, readers
        self._inflaters = Threads("inflate", INFLATERS, limits.waiting)

    async def read(
        self, headers: Mapping[bytes, bytes], receive: Receive, hold: Hold, *, has_come: bool = False
    ) -> bytes:
        """Return the inflated body. Raises Refusal, and Gone if the client hung up.

        A body that `has_come` completely needs no deadline, and is no reader.
        """
        packed = is_packed(headers)
        if not has_body(headers):
            return b""
        if int(headers.get(b"content-length", b"0")) > self._limits.body_bytes:
            raise refuse_large(self._limits.body_bytes)
        body = await (self._all_of(receive, hold) if has_come else self._read_in_time(receive, hold))
        return await self._inflated(body, hold) if packed and body else body

    async def _read_in_time(self, receive: Receive, hold: Hold) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_seconds) as clock:
                self._readers.start_reading(hold, clock)
                return await self._all_of(receive, hold)
        except TimeoutError:
            raise refuse_slow("body") from None
        finally:
            self._readers.stop_reading(hold)

    async def _all_of(self, receive: Receive, hold: Hold) -> bytes:
        pieces: list[bytes] = []
        more, size = True, 0
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._limits.body_bytes:
                raise refuse_large(self._limits.body_bytes)
            self._readers.grow(hold, len(pieces[-1]))
            more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _inflated(self, packed: bytes, hold: Hold) -> bytes:
        limit = self._limits.body_bytes
        try:
            if len(packed) <= PIECE // 16:  # at most some milliseconds, even for a bomb
                body = await self._inflate_small(packed, hold, limit)
            else:
                body = await self._inflaters.run(hold.caller, lambda: inflate(packed, limit))
        except Corrupt as error:
            raise refuse_bad_request(f"the body can't be inflated: {error}", "corrupt") from None
        except Bomb:
            raise refuse_large(limit) from None
        self._readers.grow(hold, len(body))
        self._readers.give_back(hold, len(packed))
        return body

    async def _inflate_small(self, packed: bytes, hold: Hold, limit: int) -> bytes:
        small = min(limit, 16 * PIECE)
        try:
            return inflate(packed, small)
        except Bomb:
            if small == limit:
                raise
            return await self._inflaters.run(hold.caller, lambda: inflate(packed, limit))


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a head announces a body."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def is_packed(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body is to be inflated. Raises Refusal for another encoding."""
    encodings = [word.strip().lower() for word in headers.get(b"content-encoding", b"").split(b",")]
    encodings = [word for word in encodings if word]
    if not encodings or encodings == [b"identity"]:
        return False
    if len(encodings) == 1 and encodings[0] in TAKEN:
        return True
    raise Refusal(
        415,
        "unsupported_media_type",
        "the body's Content-Encoding is not taken: send gzip, or none",
        "encoding",
        [(b"accept-encoding", b"gzip")],
    )
