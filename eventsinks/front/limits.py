"""Limits of the front, each for one process."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 64 * 1024  # bytes of a request's head
HEADERS = 100  # in a request's head
URL_BYTES = 16 * 1024
PIPELINED = 16  # requests of one connection that wait for earlier ones
OVERHEAD = 8  # bytes on the wire for each byte of a chunked body; chunks of one byte need 5 for framing
LINGER = 2.0  # seconds for a client that still sends to read why it is refused
KEEP_ALIVE = 75  # seconds that a connection may be idle between requests; more than proxies keep theirs


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """The bounds that an operator sets. Times are seconds."""

    head_seconds: float  # from the first byte of a head to its last; also for a connection that sends nothing
    body_seconds: float  # from the end of the head to the last byte of the body
    answer_seconds: float  # for a client to read an answer
    body_bytes: int  # of one body, both as it arrives and inflated
    bodies: int  # that are read at the same time
    bodies_each: int  # of these, for one caller
    held_bytes: int  # of bodies that are read or answered; and separately of unread answers
    waiting: int  # requests that wait for a thread
    connections: int  # open at once
