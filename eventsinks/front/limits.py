"""What the front bounds. All of it is meant for one process."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 64 * 1024  # of a request's head
HEADERS = 100  # in a request's head
URL_BYTES = 16 * 1024
PIPELINED = 16  # requests of one connection that wait for the one before
OVERHEAD = 8  # bytes on the wire for each byte of a chunked body: the framing of chunks of one byte is 5
LINGER = 2.0  # seconds that a client which still sends may take to read why it is refused
KEEP_ALIVE = 75  # seconds that a connection may rest between requests; above what proxies keep theirs


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """The bounds that an operator sets. Times are seconds."""

    head_seconds: float  # from the first byte of a head to its last; also for a connection that sends nothing
    body_seconds: float  # from the end of the head to the last byte of the body
    answer_seconds: float  # that a client may take to read an answer
    body_bytes: int  # of one body, as it comes and inflated
    bodies: int  # that are being read
    bodies_each: int  # of them, of one caller
    held_bytes: int  # of bodies that are read or answered; and as many of answers that are not read yet
    waiting: int  # requests that wait for a thread
    connections: int  # open at once
