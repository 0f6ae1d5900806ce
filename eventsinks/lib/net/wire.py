"""What goes over the wire: a request, the response to it, and how an exchange can fail."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """One HTTP request, ready to be sent: no header is added to it but Host and Content-Length."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Timings(NamedTuple):
    """Seconds from the start of the exchange until each step was done; 0.0 where a step did not happen."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Response(NamedTuple):
    """What the far end answered. `headers` are raw lines as received; `body` is cut at the exchange's cap.

    `cut` says why the answer ended early, where it did after its status and headers had been read.
    """

    status: int
    headers: list[bytes]
    body: bytes
    timings: Timings = Timings()
    peer: str = ""
    cut: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx: nothing else is success."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Return the last header of this name (any case), or None."""
        wanted = name.lower().encode("latin-1") + b":"
        for line in reversed(self.headers):
            if line[: len(wanted)].lower() == wanted:
                return line[len(wanted) :].strip().decode("latin-1")
        return None


class ExchangeFailed(Exception):
    """No response came back.

    `reason` is one of a bounded set (`dns_error`, `address_refused`, `connection_refused`,
    `connection_failed`, `tls_error`, `timeout`, `connection_lost`, `bad_response`, `bad_request`);
    `outcome_unknown` says that the request had left, so that the far end may have acted on it.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        outcome_unknown: bool = False,
        timings: Timings = Timings(),
        peer: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.outcome_unknown = outcome_unknown
        self.timings = timings
        self.peer = peer
